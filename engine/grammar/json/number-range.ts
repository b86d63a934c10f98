/** Numbers between bounds, as regular expressions. Written without exponents, and with digits that a double holds exactly. Pure. */

/** Digits of an integer, and of a fraction. */
const DIGITS = 15;
const LARGEST = 10 ** DIGITS - 1;
/** A fraction's digits; the last is not 0, so that it is between two integers and never one. */
const fraction = `\\.[0-9]{0,${DIGITS - 1}}[1-9]`;

const either = (parts: readonly string[]): string => (parts.length === 1 ? parts[0] ?? '' : `(${parts.join('|')})`);

/** Integers `from ≤ x ≤ to`; null where there are none. Bounds beyond ±10¹⁵ count as these. */
export function integerRange(from: number, to: number): string | null {
  const low = Math.max(Math.ceil(from), -LARGEST), high = Math.min(Math.floor(to), LARGEST);
  const parts: string[] = [];
  if (low < 0 && low <= high) parts.push(`-${naturals(Math.max(1, -high), -low)}`);
  if (high >= 0 && low <= high) parts.push(naturals(Math.max(0, low), high));
  return parts.length === 0 ? null : either(parts);
}

/**
 * Numbers between two bounds, of which each may be excluded. Where a bound is not an integer, numbers between it and the next integer inside are
 * left out.
 */
export function numberRange(from: number, to: number, excluded: { readonly from: boolean; readonly to: boolean }): string | null {
  const low = Math.ceil(from), high = Math.floor(to);
  const whole = integerRange(excluded.from && low === from ? low + 1 : low, excluded.to && high === to ? high - 1 : high);
  const parts = whole === null ? [] : [whole];
  // k.f and −k.f lie strictly between two integers.
  if (high > 0 && low < high) parts.push(naturals(Math.max(0, low), Math.min(high - 1, LARGEST)) + fraction);
  if (low < 0 && low < high) parts.push(`-${naturals(Math.max(0, -high), Math.min(-low - 1, LARGEST))}${fraction}`);
  return parts.length === 0 ? null : either(parts);
}

/** `0 ≤ from ≤ x ≤ to`, without leading zeros. */
function naturals(from: number, to: number): string {
  const parts: string[] = [];
  for (let length = String(from).length; length <= String(to).length; length++) {
    const low = Math.max(from, length === 1 ? 0 : 10 ** (length - 1)), high = Math.min(to, 10 ** length - 1);
    parts.push(sameLength(String(low), String(high)));
  }
  return either(parts);
}

/** Digit strings between two of the same length. */
function sameLength(low: string, high: string): string {
  if (low === high) return low;
  const [first = '0', last = '0'] = [low[0], high[0]];
  const rest = low.length - 1;
  if (rest === 0) return `[${first}-${last}]`;
  if (first === last) return first + sameLength(low.slice(1), high.slice(1));
  const parts: string[] = [];
  const isLowFull = /^0*$/.test(low.slice(1)), isHighFull = /^9*$/.test(high.slice(1));
  if (!isLowFull) parts.push(first + sameLength(low.slice(1), '9'.repeat(rest)));
  const from = Number(first) + (isLowFull ? 0 : 1), to = Number(last) - (isHighFull ? 0 : 1);
  if (from <= to) parts.push(`[${from}-${to}][0-9]{${rest}}`);
  if (!isHighFull) parts.push(last + sameLength('0'.repeat(rest), high.slice(1)));
  return either(parts);
}
