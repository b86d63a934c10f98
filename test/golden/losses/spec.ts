/** The definitions of stored loss cases (`spec` in losses.json) as this project's. */
import type { Aggregation } from '../../../trainer/loss/aggregation.ts';
import type { KlTerm } from '../../../trainer/loss/kl.ts';
import type { PolicyTerm } from '../../../trainer/loss/policy-term.ts';
import type { Ratio } from '../../../trainer/loss/ratio.ts';
import type { Rejection } from '../../../trainer/loss/rejection.ts';
import type { PolicyLossSpec } from '../../../trainer/loss/spec.ts';

/** An object of `losses.json` whose every key must be asked for: what this project does not know is not passed over. */
export type StoredSpec = Readonly<Record<string, unknown>>;

class Reader {
  readonly #left: Map<string, unknown>;
  readonly #what: string;
  constructor(stored: StoredSpec, what: string) {
    this.#left = new Map(Object.entries(stored));
    this.#what = what;
  }

  #take(key: string): unknown {
    const value = this.#left.get(key);
    this.#left.delete(key);
    return value ?? undefined;
  }
  #wrong(key: string, value: unknown): never {
    throw new Error(`${this.#what}: nothing here is called ${key} ${JSON.stringify(value)}`);
  }
  oneOf<const T extends string>(key: string, ...known: readonly T[]): T {
    const value = this.#take(key);
    return known.find((name) => name === value) ?? this.#wrong(key, value);
  }
  number(key: string): number {
    return this.optionalNumber(key) ?? this.#wrong(key, undefined);
  }
  optionalNumber(key: string): number | undefined {
    const value = this.#take(key);
    return value === undefined || typeof value === 'number' ? value : this.#wrong(key, value);
  }
  flag(key: string): boolean {
    return this.#take(key) === true;
  }
  choice<const T extends string>(key: string, fallback: T, ...known: readonly T[]): T {
    return this.#left.has(key) ? this.oneOf(key, fallback, ...known) : fallback;
  }
  object<T>(key: string, read: (reader: Reader) => T): T | undefined {
    const value = this.#take(key);
    if (value === undefined) return undefined;
    if (typeof value !== 'object') this.#wrong(key, value);
    const reader = new Reader(value as StoredSpec, `${this.#what}.${key}`); // an object of parsed JSON
    const result = read(reader);
    reader.end();
    return result;
  }
  end(): void {
    for (const [key, value] of this.#left) if (value !== null) this.#wrong(key, value);
  }
}

type Optional<T> = { [K in keyof T]?: Exclude<T[K], undefined> };
/** Without the keys that are undefined. */
const given = <T extends object>(object: T): Optional<T> => Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as Optional<T>; // the same keys, fewer

/** @throws on a key or value that this project has no part for */
export function specOf(stored: StoredSpec): PolicyLossSpec {
  const reader = new Reader(stored, 'spec');
  const old = reader.choice('old', 'old', 'new') === 'new' ? 'current' : 'given';
  const policy = reader.object('policy', (r) => policyOf(r, old)) ?? null;
  const aggregation = reader.object('agg', aggregationOf);
  if (!aggregation) throw new Error('spec: no agg');
  const spec = {
    policy, aggregation,
    ...given({
      kl: reader.object('kl', klOf),
      importance: reader.object('is', (r) => ({
        level: r.oneOf('level', 'token', 'sequence'), mode: r.oneOf('mode', 'truncate', 'mask'), max: r.number('max'), normalize: r.flag('batch_normalize'),
        ...given({ min: r.optionalNumber('min'), logRatioClamp: r.optionalNumber('log_clamp') }),
      })),
      rejection: reader.object('reject', rejectionOf),
      offPolicyMask: reader.optionalNumber('off_policy_mask'),
    }),
    dropTruncated: reader.flag('drop_truncated'),
  };
  reader.end();
  return spec;
}

function policyOf(r: Reader, old: Ratio['old']): PolicyTerm | null {
  const type = r.oneOf('type', 'none', 'reinforce', 'clip', 'cispo');
  if (type === 'none') return null;
  if (type === 'reinforce') return { type };
  const level = r.choice('level', 'token', 'sequence', 'sequence_sum');
  const clamp = given({ logClamp: r.optionalNumber('log_ratio_clamp') });
  const ratio: Ratio = level === 'sequence' ? { level, old, ...clamp, ...given({ logMax: r.optionalNumber('log_ratio_max') }) }
    : { level: level === 'token' ? level : 'sequence-sum', old, ...clamp };
  if (type === 'cispo') return { type, ratio, ratioMax: r.number('ratio_max'), ...given({ ratioMin: r.optionalNumber('ratio_min') }) };
  return { type, ratio, clipLow: r.number('eps_low'), clipHigh: r.number('eps_high'), ...given({ ratioMax: r.optionalNumber('ratio_max'), dualClip: r.optionalNumber('dual_clip') }) };
}

function aggregationOf(r: Reader): Aggregation {
  const mode = r.oneOf('mode', 'token-mean', 'seq-mean-token-mean', 'seq-mean-token-sum', 'seq-mean-token-sum-norm', 'per-rollout-mean', 'rloo');
  if (mode === 'per-rollout-mean') return { mode, denominator: r.oneOf('denominator', 'rows', 'rollouts') === 'rows' ? 'sequences' : 'rollouts' };
  // One loss a sequence, the same for all of its tokens, so the mean over them is that loss.
  if (mode === 'rloo') return { mode: 'seq-mean-token-mean', sequences: 'all' };
  const sequences = r.choice('seq_denominator', 'nonempty', 'all');
  const normalizer = given({ normalizer: r.optionalNumber('normalizer') });
  if (mode === 'token-mean') return { mode, ...normalizer };
  return mode === 'seq-mean-token-mean' ? { mode, sequences } : { mode: 'seq-mean-token-sum', sequences, ...normalizer };
}

/** What value losses are aggregated by, by its name; null for one that this project does not know. */
export function valueAggregation(mode: string): Aggregation | null {
  if (mode === 'token-mean') return { mode };
  return mode === 'seq-mean-token-mean' || mode === 'seq-mean-token-sum' ? { mode, sequences: 'nonempty' } : null;
}

function klOf(r: Reader): KlTerm {
  const estimator = r.oneOf('type', 'k1', 'k2', 'k3', 'abs', 'k1+', 'k3+');
  const clamp = r.flag('clamp') ? { logRatioClamp: 20, valueClamp: 10 } : {}; // of k3 alone, also where the set says it of others
  r.flag('separate_agg'); // with the same aggregation, which is linear: the same loss
  const common = { coefficient: r.number('coef'), importanceCorrected: r.flag('is_correction') };
  return estimator === 'k3' || estimator === 'k3+' ? { estimator, ...clamp, ...common } : { estimator, ...common };
}

function rejectionOf(r: Reader): Rejection {
  const names = { token: 'token', seq_sum: 'sequence-sum', seq_mean: 'sequence-mean', seq_max: 'sequence-max' } as const;
  const level = names[r.oneOf('level', 'token', 'seq_sum', 'seq_mean', 'seq_max')];
  const statistic = r.oneOf('stat', 'k1', 'k2', 'k3');
  return statistic === 'k1' ? { level, statistic, min: r.number('min'), max: r.number('max') } : { level, statistic, max: r.number('max') };
}
