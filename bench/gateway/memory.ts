/** Resident memory over many requests. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Server } from '../server.ts';
import { throughput } from './throughput.ts';

export interface Growth {
  /** At equal distances, from the first request to the last. */
  readonly mb: readonly number[];
  readonly mbPer10kRequests: number;
}

const SAMPLE_MS = 250;
const POINTS = 11;
/** Until code is compiled, heaps have grown and caches are full. */
const WARM_UP_REQUESTS = 20_000;

/** The slope of a straight line through the samples: load is constant, so time stands for requests. */
export async function memoryGrowth(server: Server, body: Buffer, clients: number, requests: number): Promise<Growth> {
  await throughput(server.url, body, clients, { requests: WARM_UP_REQUESTS });
  const samples: { readonly at: number; readonly mb: number }[] = [];
  const ended = new AbortController();
  const sampling = (async () => {
    for (const startedAt = performance.now(); !ended.signal.aborted; await sleep(SAMPLE_MS)) samples.push({ at: performance.now() - startedAt, mb: await server.memoryMb() });
  })();
  await throughput(server.url, body, clients, { requests });
  ended.abort();
  await sampling;
  const mb = Array.from({ length: POINTS }, (_, i) => samples[Math.round((i / (POINTS - 1)) * (samples.length - 1))]?.mb ?? NaN);
  return { mb, mbPer10kRequests: slope(samples) * (samples.at(-1)?.at ?? NaN) * (10_000 / requests) };
}

/** Least squares, MiB a millisecond. */
function slope(samples: readonly { readonly at: number; readonly mb: number }[]): number {
  const mean = (of: (sample: { at: number; mb: number }) => number) => samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const at = mean((sample) => sample.at), mb = mean((sample) => sample.mb);
  return mean((sample) => (sample.at - at) * (sample.mb - mb)) / mean((sample) => (sample.at - at) ** 2);
}
