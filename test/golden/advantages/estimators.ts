/** The estimators of a set by their names, as this project computes them. */
import { groupAdvantages, type CreditedCall, type GroupOptions } from '../../../trainer/advantage/group.ts';
import { leaveOneOutAdvantages } from '../../../trainer/advantage/leave-one-out.ts';
import { discountedReturns, generalizedAdvantages } from '../../../trainer/advantage/returns.ts';
import { whiten } from '../../../trainer/advantage/whiten.ts';

export interface RewardSet {
  /** One a row, each a rollout of its own. */
  readonly calls: readonly CreditedCall[];
  /** Rows `[time]`: 1 where a token counts; as the other two. */
  readonly mask: readonly Float32Array[];
  readonly tokenRewards: readonly Float32Array[];
  readonly values: readonly Float32Array[];
}

/** `[rows]`, or `[rows·time]` with 0 at masked places. */
export type Estimate = (rewards: RewardSet) => ArrayLike<number>;

/** Null: this project has none of that name. */
export function estimatorOf(name: string): Estimate | null {
  for (const [pattern, make] of estimators) {
    const match = pattern.exec(name);
    if (match) return make(match.groups ?? {});
  }
  return null;
}

type Parameters = Readonly<Record<string, string | undefined>>;

const estimators: readonly (readonly [RegExp, (parameters: Parameters) => Estimate])[] = [
  [/^grpo\.(?<scale>nostd|batchstd|std-ddof0)?\.?(?:eps(?<epsilon>[\de.+-]+?))?(?<zero>\.singleton-zero)?$/, (p) => {
    // With the deviation of the whole batch a group of one has nothing but its mean either (TRL).
    const groupOfOne = p['zero'] !== undefined || p['scale'] === 'batchstd' ? 'zero' : 'credit';
    const scale = ({ nostd: 'none', batchstd: 'batch', 'std-ddof0': 'population' } as const)[p['scale'] ?? ''] ?? 'group';
    return grouped({ unit: 'calls', scale, epsilon: Number(p['epsilon'] ?? 0), groupOfOne });
  }],
  [/^rloo(?<zero>\.singleton-zero)?$/, (p) => ({ calls }) => leaveOneOutAdvantages(calls, { groupOfOne: p['zero'] === undefined ? 'credit' : 'zero', normalize: false })],
  [/^rloo\.normalized$/, () => ({ calls }) => leaveOneOutAdvantages(calls, { groupOfOne: 'zero', normalize: true })],
  [/^reinforce_pp\.g(?<gamma>[\d.]+)\.returns$/, (p) => overTokens(({ tokenRewards }) => tokenRewards.map((row) => discountedReturns(row, Number(p['gamma']))))],
  [/^reinforce_pp\.g(?<gamma>[\d.]+)\.advantages$/, (p) => overTokens(({ tokenRewards }) => whiten(tokenRewards.map((row) => discountedReturns(row, Number(p['gamma'])))))],
  [/^reinforce_pp_baseline\.advantages$/, () => overTokens(({ calls, mask }) => {
    const centred = groupAdvantages(calls, { unit: 'calls', scale: 'none', epsilon: 0, groupOfOne: 'credit' });
    return whiten(mask.map((row, i) => new Float64Array(row.length).fill(centred[i] ?? NaN)));
  })],
  [/^gae\.g(?<gamma>[\d.]+)\.l(?<lambda>[\d.]+)\.(?<what>raw|returns|whitened)$/, (p) => overTokens(({ tokenRewards, values }) => {
    const rows = tokenRewards.map((row, i) => generalizedAdvantages(row, values[i] ?? [], { gamma: Number(p['gamma']), lambda: Number(p['lambda']) }));
    if (p['what'] === 'returns') return rows.map(({ returns }) => returns);
    const raw = rows.map(({ advantages }) => advantages);
    return p['what'] === 'raw' ? raw : whiten(raw);
  })],
  // Every position is a step of discount here, the masked ones too.
  [/^discounted_returns\.g(?<gamma>[\d.]+)\.every_position$/, (p) => ({ tokenRewards, mask }) =>
    tokenRewards.flatMap((row, i) => [...discountedReturns(row.map((reward, t) => reward * (mask[i]?.[t] ?? NaN)), Number(p['gamma']))])],
];

/** The rules of one call a rollout are the same whether a group counts calls or rollouts: both are computed, and must be equal. */
function grouped(options: GroupOptions): Estimate {
  return ({ calls }) => {
    const [byCalls, byRollouts] = (['calls', 'rollouts'] as const).map((unit) => groupAdvantages(calls, { ...options, unit }));
    return byCalls && byRollouts ? byCalls.map((advantage, i) => (Math.abs(advantage - (byRollouts[i] ?? NaN)) < 1e-9 ? advantage : NaN)) : [];
  };
}

/** Computes on the tokens that count (what lies between them is no time step), and lays the result out as the rows were. */
function overTokens(compute: (rewards: RewardSet) => readonly Float64Array[]): Estimate {
  return (rewards) => {
    const counted = (rows: readonly Float32Array[]): Float32Array[] => rows.map((row, i) => row.filter((_, t) => rewards.mask[i]?.[t] === 1));
    const computed = compute({ calls: rewards.calls, mask: counted(rewards.mask), tokenRewards: counted(rewards.tokenRewards), values: counted(rewards.values) });
    return rewards.mask.flatMap((row, i) => {
      let next = 0;
      return Array.from(row, (counts) => (counts === 1 ? computed[i]?.[next++] ?? NaN : 0));
    });
  };
}
