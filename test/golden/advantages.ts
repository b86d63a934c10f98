/** `advantages/`: group estimators on single rewards, returns and GAE over tokens, KL in the reward, the overlong punishment. */
import type { SafetensorsFile } from '../../model/weights/safetensors.ts';
import { withKlCost } from '../../trainer/advantage/token-rewards.ts';
import { overlongPunishment } from '../../trainer/credit/overlong.ts';
import { estimatorOf, type RewardSet } from './advantages/estimators.ts';
import { close, unknown, type Check } from './check.ts';
import { openTensors, readText } from './files.ts';

interface Overlong {
  readonly max_len: number;
  readonly cache: number;
  readonly lengths: readonly number[];
  readonly paper_and_trl: readonly number[];
  readonly verl: readonly number[];
}

interface Stored {
  /** By `<set>/<estimator>`, the tensor's name; and `overlong`. */
  readonly entries: { readonly overlong: Overlong } & Readonly<Record<string, unknown>>;
}

const tolerance = { relative: 1e-5, absolute: 1e-6 };

export function* advantages(set: string): Generator<Check> {
  const { entries: { overlong, ...entries } }: Stored = JSON.parse(readText(set, 'advantages/advantages.json'));
  using tensors = openTensors(set, 'advantages/advantages.safetensors');
  for (const name of Object.keys(entries)) yield checkOf(tensors, name);
  const limits = { maxTokens: overlong.max_len, cacheTokens: overlong.cache };
  for (const [beyond, expected] of [['floor', overlong.paper_and_trl], ['slope', overlong.verl]] as const) {
    yield { name: `overlong, ${beyond} beyond the maximum`, run: () => close(overlong.lengths.map((tokens) => overlongPunishment(tokens, { ...limits, beyond })), expected, tolerance, 'punishment') };
  }
}

function checkOf(tensors: SafetensorsFile, name: string): Check {
  const [group = '', estimator = ''] = name.split(/\/(.*)/s);
  if (group === 'kl_reward') {
    const coefficient = /^token_rewards\.beta(.+)$/.exec(estimator)?.[1];
    return coefficient === undefined ? unknown(name, `this project knows no KL reward "${estimator}"`) : { name, run: () => klRewards(tensors, name, Number(coefficient)) };
  }
  const estimate = estimatorOf(estimator);
  if (!estimate) return unknown(name, `this project has no estimator "${estimator}"`);
  return { name, run: () => close(estimate(rewardSet(tensors, group)), tensors.read(name).data, tolerance, estimator) };
}

function klRewards(tensors: SafetensorsFile, name: string, coefficient: number): number {
  const read = (input: string): Float32Array => tensors.read(`kl_reward/${input}`).data;
  return close(withKlCost(Float64Array.from(read('scores')), read('logp_old'), read('logp_ref'), coefficient), read(name.slice('kl_reward/'.length)), tolerance, 'token rewards');
}

function rewardSet(tensors: SafetensorsFile, group: string): RewardSet {
  const [rows = 0, time = 0] = tensors.shape(`${group}/mask`);
  const groups = tensors.readInts(`${group}/group_id`);
  const byRow = (input: string): Float32Array[] => {
    const { data } = tensors.read(`${group}/${input}`);
    return Array.from({ length: rows }, (_, row) => data.subarray(row * time, (row + 1) * time));
  };
  return {
    calls: Array.from(tensors.read(`${group}/rewards`).data, (credit, i) => ({ taskId: String(groups[i]), rolloutId: `r${i}`, credit })),
    mask: byRow('mask'), tokenRewards: byRow('token_rewards'), values: byRow('values'),
  };
}
