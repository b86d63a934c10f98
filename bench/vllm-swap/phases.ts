/** What clients waited for, by what went on meanwhile. Pure. */
import type { Stream } from './streams.ts';

export interface Phase {
  readonly name: string;
  readonly fromMs: number;
  readonly toMs: number;
}

export interface Waits {
  readonly streams: number;
  readonly tokens: number;
  /** Milliseconds from a request to its first token, and from token to token; NaN where there were none. */
  readonly firstToken: { readonly p50: number; readonly max: number };
  readonly gap: { readonly p50: number; readonly p99: number; readonly max: number };
}

/** A wait belongs to the phase in which it ended. */
export function waitsIn({ fromMs, toMs }: Phase, streams: readonly Stream[]): Waits {
  const within = (ms: number | undefined): ms is number => ms !== undefined && ms >= fromMs && ms < toMs;
  const first = streams.filter(({ tokensMs }) => within(tokensMs[0])).map(({ startedMs, tokensMs }) => (tokensMs[0] ?? NaN) - startedMs);
  const gaps = streams.flatMap(({ tokensMs }) => tokensMs.flatMap((ms, i) => (i > 0 && within(ms) ? [ms - (tokensMs[i - 1] ?? NaN)] : [])));
  return {
    streams: first.length, tokens: first.length + gaps.length,
    firstToken: { p50: quantile(first, 0.5), max: quantile(first, 1) },
    gap: { p50: quantile(gaps, 0.5), p99: quantile(gaps, 0.99), max: quantile(gaps, 1) },
  };
}

function quantile(numbers: readonly number[], q: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return Number((sorted[Math.min(Math.floor(q * sorted.length), sorted.length - 1)] ?? NaN).toFixed(1));
}
