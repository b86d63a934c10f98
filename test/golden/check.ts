/** One comparison with stored reference numbers, and how far off it is. */
import { isDeepStrictEqual } from 'node:util';

export interface Check {
  /** The case as the set names it. */
  readonly name: string;
  /**
   * The worst difference as a share of its tolerance, at most 1; 0 where equality is asked for.
   * @throws Mismatch past the tolerance; Unavailable; any other error counts as a failure too
   */
  readonly run: () => number | Promise<number>;
}

/** All checks of one folder of a set. What the set holds and this project has no check for is a check that fails and says so. */
export type Group = (set: string) => AsyncIterable<Check> | Iterable<Check>;

export class Mismatch extends Error {
  readonly share: number;
  constructor(message: string, share: number) {
    super(message);
    this.share = share;
  }
}

/** The set refers to something that is not in it, nor on this machine: the check is skipped, and the report says so. */
export class Unavailable extends Error {}

/** |actual − expected| may be `absolute` + `relative` · max |expected|. */
export interface Tolerance {
  readonly absolute?: number;
  readonly relative?: number;
}

/** The tolerance that sets recommend, or five times what PyTorch's own float32 run was off by on this set, if that is more. */
export const withRoomFor = (recommended: number, float32Error = 0): number => Math.max(recommended, 5 * float32Error);

/** Compares element by element; two equal infinities are equal. Returns the worst share of the tolerance. @throws Mismatch */
export function close(actual: ArrayLike<number>, expected: ArrayLike<number>, { absolute = 0, relative = 0 }: Tolerance, what: string): number {
  if (actual.length !== expected.length) throw new Mismatch(`${what} has ${actual.length} numbers for ${expected.length}`, Infinity);
  let largest = 0;
  for (let i = 0; i < expected.length; i++) if (Number.isFinite(expected[i])) largest = Math.max(largest, Math.abs(expected[i] ?? 0));
  const limit = absolute + relative * largest;
  let worst = 0, at = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = actual[i] === expected[i] ? 0 : Math.abs((actual[i] ?? NaN) - (expected[i] ?? NaN));
    if (difference <= worst) continue;
    at = i;
    worst = Number.isNaN(difference) ? Infinity : difference;
  }
  const share = worst === 0 ? 0 : worst / limit;
  if (share > 1) throw new Mismatch(`${what}[${at}] is ${actual[at]}, not ${expected[at]}: off by ${worst.toPrecision(3)}, ${limit.toPrecision(3)} is allowed`, share);
  return share;
}

/** Asks for equality. Returns 0. @throws Mismatch */
export function equal(actual: unknown, expected: unknown, what: string): number {
  if (!isDeepStrictEqual(actual, expected)) throw new Mismatch(`${what} is ${shown(actual)}, not ${shown(expected)}`, Infinity);
  return 0;
}

/** A check of something that the set holds and nobody here knows. */
export const unknown = (name: string, why: string): Check => ({
  name,
  run: () => { throw new Mismatch(why, Infinity); },
});

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}
