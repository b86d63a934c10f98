/** Requests a second, by autocannon in a process of its own. */
import { join } from 'node:path';
import { runForJson } from '../benchmark.ts';

const autocannon = join(import.meta.dirname, '..', '..', 'node_modules', '.bin', 'autocannon');

export interface Throughput { readonly requests: number; readonly requestsPerSecond: number; readonly failures: number; readonly p99Ms: number }

/** @param until seconds, or a number of requests */
export async function throughput(url: string, body: Buffer, clients: number, until: { readonly seconds: number } | { readonly requests: number }): Promise<Throughput> {
  const end = 'seconds' in until ? ['-d', String(until.seconds)] : ['-a', String(until.requests)];
  const result = await runForJson(autocannon, ['-j', '-n', '-c', String(clients), ...end, '-m', 'POST', '-H', 'content-type=application/json', '-H', 'authorization=Bearer none', '-b', body.toString(), `${url}/v1/chat/completions`]) as {
    readonly '2xx': number; readonly non2xx: number; readonly errors: number; readonly duration: number; readonly latency: { readonly p99: number };
  }; // https://github.com/mcollina/autocannon#autocannonopts-cb
  return { requests: result['2xx'], requestsPerSecond: result['2xx'] / result.duration, failures: result.non2xx + result.errors, p99Ms: result.latency.p99 };
}
