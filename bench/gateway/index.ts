/**
 * The proxy with capture on against no proxy, nginx, and other gateways, in front of the same upstream (`upstream.ts`), all in one run: what it adds to a request's time, requests
 * a second, 200 streams at once, memory over many requests, bytes of the database for a step. `--parts` chooses among them. Other gateways are measured where they are installed:
 * `--nginx`, `--litellm` (its program), `--agent-lightning` (a Python that has it).
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Benchmark } from '../benchmark.ts';
import type { Server } from '../server.ts';
import { direct, startAgentLightning, startGateway, startLiteLlm, startNginx, startUpstream, type Upstream } from './contenders.ts';
import { conversations, different } from './disk.ts';
import { requestBody } from './exchange.ts';
import { latencies } from './latency.ts';
import { memoryGrowth } from './memory.ts';
import { digits, quantile, table } from './report.ts';
import { stream, type Streamed } from './streams.ts';
import { throughput, type Throughput } from './throughput.ts';

const root = join(import.meta.dirname, '..', '..');
const cache = join(root, '.cache', 'bench');
/** In their order in the report. */
type Contenders = ReadonlyMap<string, Server>;
const parts = ['latency', 'throughput', 'streams', 'memory', 'disk'] as const;

export const run: Benchmark = async (args, print) => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      parts: { type: 'string', default: parts.join() },
      nginx: { type: 'string' },
      litellm: { type: 'string' },
      'agent-lightning': { type: 'string' },
      requests: { type: 'string', default: '4000' },
      seconds: { type: 'string', default: '10' },
      clients: { type: 'string', default: '16' },
      streams: { type: 'string', default: '200' },
      repetitions: { type: 'string', default: '3' },
      'memory-requests': { type: 'string', default: '100000' },
    },
  });
  const wanted = new Set(values.parts.split(','));
  const [repetitions, clients] = [Number(values.repetitions), Number(values.clients)];
  execFileSync(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', join(root, 'tsconfig.build.json')], { stdio: 'inherit' });
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, 'gateway-'));
  try {
    await using stack = new AsyncDisposableStack();
    const upstream = stack.use(await startUpstream());
    const servers = new Map<string, Server>();
    const add = async (name: string, starting: Promise<Server>) => { servers.set(name, stack.use(await starting)); };
    servers.set('direct', direct(upstream));
    if (values.nginx !== undefined) await add('nginx', startNginx(values.nginx, upstream, join(work, 'nginx')));
    await add('fulgurite', startGateway(upstream, join(work, 'data')));
    if (values['agent-lightning'] !== undefined) await add('agent lightning', startAgentLightning(values['agent-lightning'], upstream, join(work, 'agent-lightning')));
    if (values.litellm !== undefined) await add('litellm', startLiteLlm(values.litellm, upstream, join(work, 'litellm')));

    const figures: Record<string, unknown> = { ready: await idle(servers, print) };
    if (wanted.has('latency')) figures['latency'] = await addedLatency(servers, Number(values.requests), print);
    if (wanted.has('throughput')) figures['throughput'] = await requestsPerSecond(servers, { clients, seconds: Number(values.seconds), repetitions }, print);
    if (wanted.has('streams')) figures['streams'] = await streams(servers, { clients: Number(values.streams), repetitions }, print);
    if (wanted.has('memory')) figures['memory'] = await memory(servers, clients, Number(values['memory-requests']), print);
    if (wanted.has('disk')) figures['disk'] = await disk(upstream, work, print);
    return figures;
  } finally {
    rmSync(work, { recursive: true });
  }
};

type Print = (line: string) => void;

async function idle(servers: Contenders, print: Print) {
  const rows: Record<string, { readyMs: number; idleMb: number }> = {};
  for (const [name, server] of servers) if (name !== 'direct') rows[name] = { readyMs: digits(server.readyMs, 0), idleMb: digits(await server.memoryMb(), 0) };
  for (const line of table(rows)) print(line);
  return rows;
}

/** V8 compiles what calls run for some seconds. */
const WARM_UP_REQUESTS = 6000;

/** In turns of a few requests, so that a change of the machine's speed meets all alike. */
async function addedLatency(servers: Contenders, requests: number, print: Print) {
  const body = requestBody({ stream: false });
  const times = new Map([...servers.keys()].map((name) => [name, [] as number[]]));
  for (const { url } of servers.values()) await latencies(url, body, { count: WARM_UP_REQUESTS, forMs: 5000 });
  for (let turn = 0; turn < 20; turn++) {
    for (const [name, { url }] of servers) times.get(name)?.push(...await latencies(url, body, { count: requests / 20, forMs: 1000 }));
  }
  const of = (name: string, q: number) => quantile(times.get(name) ?? [], q);
  const rows = Object.fromEntries([...times].map(([name, { length }]) => [name, {
    requests: length, p50Ms: digits(of(name, 0.5), 3), p99Ms: digits(of(name, 0.99), 3),
    addedP50Ms: digits(of(name, 0.5) - of('direct', 0.5), 3), addedP99Ms: digits(of(name, 0.99) - of('direct', 0.99), 3),
  }]));
  for (const line of table(rows)) print(line);
  return rows;
}

async function requestsPerSecond(servers: Contenders, { clients, seconds, repetitions }: { clients: number; seconds: number; repetitions: number }, print: Print) {
  const body = requestBody({ stream: false });
  const runs = new Map([...servers.keys()].map((name) => [name, [] as (Throughput & { cpuMs: number })[]]));
  for (let repetition = 0; repetition < repetitions; repetition++) {
    for (const [name, server] of servers) {
      const before = await server.cpuSeconds();
      const one = await throughput(server.url, body, clients, { seconds });
      runs.get(name)?.push({ ...one, cpuMs: 1000 * (await server.cpuSeconds() - before) / one.requests });
    }
  }
  const median = (name: string) => quantile((runs.get(name) ?? []).map((one) => one.requestsPerSecond), 0.5);
  const rows = Object.fromEntries([...runs].map(([name, all]) => [name, {
    requestsPerSecond: digits(median(name), 0), ofDirect: digits(median(name) / median('direct')), p99Ms: digits(quantile(all.map((one) => one.p99Ms), 0.5), 1),
    cpuMsPerRequest: digits(quantile(all.map((one) => one.cpuMs), 0.5), 3),
    failures: all.reduce((sum, one) => sum + one.failures, 0),
  }]));
  for (const line of table(rows)) print(line);
  return rows;
}

/** Those that stream without holding frames back: the slower gateways cannot carry this load at all. */
const streaming = ['direct', 'nginx', 'fulgurite'];
/** V8 compiles what streams run for some seconds. */
const WARM_UP_ROUNDS = 3;

async function streams(servers: Contenders, { clients, repetitions }: { clients: number; repetitions: number }, print: Print) {
  const body = requestBody({ stream: true });
  const measured = async (spread: boolean) => {
    const runs = new Map<string, Streamed[]>();
    if (spread) for (const [name, { url }] of servers) if (streaming.includes(name)) await stream(url, body, { clients, rounds: WARM_UP_ROUNDS, spread });
    for (let repetition = 0; repetition < repetitions; repetition++) {
      for (const [name, { url }] of servers) {
        if (streaming.includes(name)) runs.set(name, [...runs.get(name) ?? [], await stream(url, body, { clients, rounds: spread ? 6 : 1, spread })]);
      }
    }
    const of = (name: string, take: (run: Streamed) => readonly number[], q: number) => quantile((runs.get(name) ?? []).flatMap(take), q);
    const rows = Object.fromEntries([...runs].map(([name, all]) => [name, {
      streams: all.reduce((sum, one) => sum + one.streams, 0), broken: all.reduce((sum, one) => sum + one.broken, 0),
      gapP50Ms: digits(of(name, (one) => one.gapsMs, 0.5)), gapP99Ms: digits(of(name, (one) => one.gapsMs, 0.99)), gapMaxMs: digits(of(name, (one) => one.gapsMs, 1)),
      firstP50Ms: digits(of(name, (one) => one.firstTokenMs, 0.5)), firstP99Ms: digits(of(name, (one) => one.firstTokenMs, 0.99)),
      laterGapP99Ms: digits(of(name, (one) => one.gapsMs, 0.99) - of('direct', (one) => one.gapsMs, 0.99)),
      laterFirstP99Ms: digits(of(name, (one) => one.firstTokenMs, 0.99) - of('direct', (one) => one.firstTokenMs, 0.99)),
    }]));
    print(spread ? `${clients} streams, one after the other of each client` : `${clients} streams that begin at once`);
    for (const line of table(rows)) print(line);
    return rows;
  };
  return { steady: await measured(true), burst: await measured(false) };
}

async function memory(servers: Contenders, clients: number, requests: number, print: Print) {
  const server = servers.get('fulgurite');
  if (server === undefined) throw new Error('it is always there');
  const growth = await memoryGrowth(server, requestBody({ stream: false }), clients, requests);
  const figures = { requests, mb: growth.mb.map((mb) => digits(mb, 0)), mbPer10kRequests: digits(growth.mbPer10kRequests) };
  print(`memory over ${requests} requests: ${figures.mb.join(' ')} MB, ${figures.mbPer10kRequests} MB per 10,000`);
  return figures;
}

/** Each load on a server of its own. */
async function disk(upstream: Upstream, work: string, print: Print) {
  let count = 0;
  const start = async () => {
    const dataDir = join(work, `disk-${count++}`);
    return { server: await startGateway(upstream, dataDir), dataDir };
  };
  const rows = Object.fromEntries(Object.entries({ different: await different(start), conversations: await conversations(start) }).map(([name, { steps, bytesPerStep, requestBytesPerStep }]) => [name, {
    steps, requestBytesPerStep: digits(requestBytesPerStep, 0), bytesPerStep: digits(bytesPerStep, 0),
  }]));
  for (const line of table(rows)) print(line);
  return rows;
}
