/** Streams that follow one another, and what they are given: when tokens come, and of which version. */
import type { Engine } from '../../engine/engine.ts';
import { NO_PENALTIES } from '../../engine/penalties.ts';

export interface Streams {
  readonly engine: Engine;
  readonly streams: number;
  readonly maxTokens: number;
  readonly vocabSize: number;
  /** Every version that was current or about to be, in order; it grows meanwhile. */
  readonly current: readonly number[];
  /** Of all streams so far: no two have the same prompt. */
  requests: number;
}

export interface Streamed {
  readonly requests: number;
  /** Between two tokens of a stream. */
  readonly gapsMs: readonly number[];
  readonly failures: number;
  /** Requests with tokens of several versions, or of one that was not current when they began. */
  readonly wrongSpans: number;
}

const PROMPT = 32;
const STUCK_MS = 120_000;

export async function streaming(load: Streams, seconds: number): Promise<Streamed> {
  const { engine, streams, maxTokens, vocabSize, current } = load;
  const untilMs = performance.now() + seconds * 1000;
  const before = load.requests;
  const gapsMs: number[] = [];
  let failures = 0, wrongSpans = 0;
  const stream = async (): Promise<void> => {
    while (performance.now() < untilMs) {
      const seed = load.requests++;
      const promptTokenIds = Int32Array.from({ length: PROMPT }, (_, i) => (seed * 7919 + i * 104_729) % vocabSize);
      // Streams do not all end at once.
      const request = { promptTokenIds, n: 1, maxTokens: Math.ceil(maxTokens * (0.5 + (seed % 8) / 8)), stopTokenIds: [], topLogprobs: 0, version: null, sampling: { temperature: 1, topP: 1, topK: 0, minP: 0, seed, ...NO_PENALTIES } };
      const versions = new Set<number>();
      // The last may not be current yet.
      const from = Math.max(current.length - 2, 0);
      let begun = current.length;
      let lastMs = NaN;
      try {
        for await (const event of engine.generate(request, AbortSignal.timeout(STUCK_MS))) {
          if (event.type === 'started') begun = current.length;
          if (event.type !== 'token') continue;
          const nowMs = performance.now();
          if (lastMs > 0) gapsMs.push(nowMs - lastMs);
          lastMs = nowMs;
          versions.add(event.token.version);
        }
        const [version = NaN] = versions;
        if (versions.size !== 1 || !current.slice(from, begun).includes(version)) wrongSpans++;
      } catch {
        failures++; // counted, and said in the report
      }
    }
  };
  await Promise.all(Array.from({ length: streams }, stream));
  return { requests: load.requests - before, gapsMs, failures, wrongSpans };
}
