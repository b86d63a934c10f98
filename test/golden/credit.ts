/** `credit/`: rollouts of several calls: credit, advantages over calls or rollouts, returns and GAE along the calls, and shares of the loss. */
import { groupAdvantages, type CreditedCall } from '../../trainer/advantage/group.ts';
import { generalizedAdvantages } from '../../trainer/advantage/returns.ts';
import { layRewards, type GivenReward, type RewardedRollout } from '../../trainer/credit/call-rewards.ts';
import { discountedCredit } from '../../trainer/credit/discounted.ts';
import { identicalCredit } from '../../trainer/credit/identical.ts';
import { rewardsToGo } from '../../trainer/credit/to-go.ts';
import { aggregationWeights, type Aggregation } from '../../trainer/loss/aggregation.ts';
import { close, equal, unknown, type Check } from './check.ts';
import { readText } from './files.ts';

interface Rollout {
  readonly rollout_id: string;
  readonly reward: number;
  readonly truncated: boolean;
  readonly bootstrap_value: number;
  readonly calls: readonly { readonly tokens: number; readonly step_reward: number | null; readonly value: number }[];
}

interface AlongCalls {
  readonly rollout_id: string;
  readonly rewards: readonly number[];
  readonly discounted_returns: readonly number[];
  readonly gae: readonly number[];
  readonly value_targets: readonly number[];
}

type PerCall = Readonly<Record<string, readonly number[]>>;

interface Stored {
  readonly tasks: readonly { readonly rollouts: readonly Rollout[] }[];
  /** In the order of all numbers per call. */
  readonly calls: readonly { readonly task_id: string; readonly rollout_id: string; readonly tokens: number }[];
  readonly expected_per_call: PerCall;
  readonly expected_steps: Readonly<Record<string, readonly AlongCalls[]>>;
  readonly loss_share_per_call: PerCall;
}

const tolerance = { relative: 1e-5, absolute: 1e-6 };

export function* credit(set: string): Generator<Check> {
  const stored: Stored = JSON.parse(readText(set, 'credit/credit.json'));
  const rollouts = stored.tasks.flatMap((task) => task.rollouts);
  for (const [name, expected] of Object.entries(stored.expected_per_call)) yield perCallCheck(name, expected, stored, rollouts);
  for (const [name, expected] of Object.entries(stored.expected_steps)) yield alongCallsCheck(name, expected, rollouts);
  for (const [name, expected] of Object.entries(stored.loss_share_per_call)) yield shareCheck(name, expected, stored);
}

function perCallCheck(name: string, expected: readonly number[], { calls }: Stored, rollouts: readonly Rollout[]): Check {
  const identical = (): number[] => rollouts.flatMap((rollout) => [...identicalCredit(layRewards([...rollout.calls.keys()], atEnd(rollout)))]);
  if (name === 'identical_credit.reward') return { name, run: () => close(identical(), expected, {}, 'credit') };
  const match = /^(?<unit>sample|rollout)_level\.(?:std\.eps(?<epsilon>.+)|nostd)$/.exec(name)?.groups;
  if (!match) return unknown(name, 'this project knows no such credit');
  const { unit, epsilon } = match;
  const options = { unit: unit === 'sample' ? 'calls' : 'rollouts', scale: epsilon === undefined ? 'none' : 'group', epsilon: Number(epsilon ?? 0), groupOfOne: 'credit' } as const;
  return {
    name,
    run: () => {
      const credits = identical();
      const credited = calls.map((call, i): CreditedCall => ({ taskId: call.task_id, rolloutId: call.rollout_id, credit: credits[i] ?? NaN }));
      return close(groupAdvantages(credited, options), expected, tolerance, 'advantages');
    },
  };
}

const atEnd = ({ reward: value }: Rollout): GivenReward[] => [{ value, kind: 'outcome', sequence: null }];
const byCall = ({ calls }: Rollout): GivenReward[] => calls.flatMap(({ step_reward: value }, sequence) => (value === null ? [] : [{ value, kind: 'intermediate', sequence }]));

/** Along the calls of each rollout, with the rewards of the calls (`step`) or the rollout's at its end (`final`). */
function alongCallsCheck(name: string, expected: readonly AlongCalls[], rollouts: readonly Rollout[]): Check {
  const match = /^(?<source>step|final)\.g(?<gamma>.+)\.l(?<lambda>.+)$/.exec(name)?.groups;
  if (!match) return unknown(name, 'this project knows no such returns');
  const [gamma, lambda] = [Number(match['gamma']), Number(match['lambda'])];
  const isFinal = match['source'] === 'final';
  const compare = (rollout: Rollout, wanted: AlongCalls | undefined): number => {
    equal(rollout.rollout_id, wanted?.rollout_id, 'rollout');
    const laid: RewardedRollout = layRewards([...rollout.calls.keys()], isFinal ? atEnd(rollout) : byCall(rollout));
    const returns = isFinal ? discountedCredit(laid, gamma) : rewardsToGo(laid, gamma);
    const values = rollout.calls.map((call) => call.value);
    const generalized = generalizedAdvantages(laid.callRewards, values, { gamma, lambda, bootstrap: rollout.truncated ? rollout.bootstrap_value : 0 });
    return Math.max(
      close(laid.callRewards, wanted?.rewards ?? [], tolerance, `${rollout.rollout_id} rewards`),
      close(returns, wanted?.discounted_returns ?? [], tolerance, `${rollout.rollout_id} returns`),
      close(generalized.advantages, wanted?.gae ?? [], tolerance, `${rollout.rollout_id} advantages`),
      close(generalized.returns, wanted?.value_targets ?? [], tolerance, `${rollout.rollout_id} value targets`),
    );
  };
  return { name, run: () => Math.max(equal(rollouts.length, expected.length, 'number of rollouts'), ...rollouts.map((rollout, i) => compare(rollout, expected[i]))) };
}

const aggregations: Readonly<Record<string, Aggregation>> = {
  'token-mean': { mode: 'token-mean' },
  'seq-mean-token-mean': { mode: 'seq-mean-token-mean', sequences: 'nonempty' },
  'per-rollout-mean.rollouts': { mode: 'per-rollout-mean', denominator: 'rollouts' },
  'per-rollout-mean.rows': { mode: 'per-rollout-mean', denominator: 'sequences' },
};

/** The share of the loss that each call gets if every token's loss is 1. */
function shareCheck(mode: string, expected: readonly number[], { calls }: Stored): Check {
  const name = `loss share, ${mode}`;
  const aggregation = aggregations[mode];
  if (!aggregation) return unknown(name, `this project has no aggregation "${mode}"`);
  return {
    name,
    run: () => {
      const weights = aggregationWeights(calls.map((call) => ({ rolloutId: call.rollout_id, tokens: call.tokens })), aggregation);
      return close(weights.map((weight, i) => weight * (calls[i]?.tokens ?? NaN)), expected, { relative: 1e-12 }, 'shares');
    },
  };
}
