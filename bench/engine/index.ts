/**
 * Tokens a second of the embedded engine against llama.cpp's server: same weights, same machine, HTTP on both sides; ours records every call. Both run at once and take
 * turns, load by load: what memory and cores of a shared machine give differs by half from one minute to the next. Needs llama.cpp's `llama-server` and `llama-quantize`
 * in one directory: `--llama` or FULGURITE_LLAMA_CPP. Other servers that run already can be measured beside them: `--server vllm=http://127.0.0.1:8000`.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { median, type Benchmark } from '../benchmark.ts';
import { startOurs, type Server } from '../server.ts';
import { startLlamaCpp } from './llama-cpp.ts';
import { measure, quantile, type Measured } from './load.ts';

const cache = join(import.meta.dirname, '..', '..', '.cache');
const smollm2 = join(cache, 'smollm2', 'SmolLM2-135M-Instruct.Q4_1.gguf');
const CONTEXT = 1024;
/** With what the template adds, prompts of about 130 and 512 tokens. */
const PROMPT_WORDS = 85;
const PREFILL_WORDS = 465;
const MAX_TOKENS = 128;

/** Ours against theirs, by what the weights are kept in. */
const pairs = { f32: ['ours', 'llama.cpp'], q8: ['ours 8-bit', 'llama.cpp Q8_0'] } as const;

interface Running {
  readonly server: Server;
  readonly load: (clients: number, promptWords: number, maxTokens: number, requests: number) => Promise<Measured>;
}

interface Figures {
  /** By number of clients. */
  readonly decode: ReadonlyMap<number, { readonly tokensPerSecond: number; readonly firstTokenP50: number; readonly firstTokenP99: number }>;
  readonly prefillTokensPerSecond: number;
  readonly memoryMb: number;
}

export const run: Benchmark = async (args, print) => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      llama: { type: 'string', default: process.env['FULGURITE_LLAMA_CPP'] ?? '' },
      model: { type: 'string', default: process.env['FULGURITE_SMOLLM2'] ?? smollm2 },
      clients: { type: 'string', default: '1,8,16' },
      only: { type: 'string', default: 'f32,q8' },
      threads: { type: 'string', default: '2' },
      repetitions: { type: 'string', default: '3' },
      requests: { type: 'string', default: '2' },
      server: { type: 'string', multiple: true, default: [] },
    },
  });
  if (!existsSync(values.model)) throw new Error(`${values.model} is not there: run \`npm run smollm2\``);
  if (!existsSync(join(values.llama, 'llama-server'))) throw new Error('say by --llama or FULGURITE_LLAMA_CPP where llama-server and llama-quantize are');
  const clients = values.clients.split(',').map(Number);
  mkdirSync(join(cache, 'bench'), { recursive: true });
  const work = mkdtempSync(join(cache, 'bench', 'engine-'));
  const threads = Number(values.threads);
  const llama = (weights: 'F32' | 'Q8_0') => () => startLlamaCpp(join(values.llama, 'llama-server'), quantized(values.llama, values.model, weights, work), { threads, slots: Math.max(...clients), context: CONTEXT });
  const ours = (weights: 'float32' | 'int8') => () => startOurs({
    'dataDir': join(work, weights), 'backend.kind': 'embedded', 'backend.model': values.model, 'backend.weights': weights, 'backend.maxContext': String(CONTEXT), 'backend.maxRows': String(Math.max(...clients)), 'backend.threads': String(threads), ...(weights === 'int8' ? { 'trainer.enabled': 'false' } : {}),
  });
  type Contender = readonly [name: string, start: () => Promise<Server>];
  const others = values.server.map((server): Contender => [server.slice(0, server.indexOf('=')), () => runningAt(server.slice(server.indexOf('=') + 1))]);
  const groups: readonly (readonly Contender[])[] = [
    [...(values.only.includes('f32') ? [['ours', ours('float32')], ['llama.cpp', llama('F32')]] as const : []), ...others],
    values.only.includes('q8') ? [['ours 8-bit', ours('int8')], ['llama.cpp Q8_0', llama('Q8_0')]] : [],
  ];
  try {
    const figures = new Map<string, Figures[]>();
    let count = 0;
    for (const group of groups) {
      await using stack = new AsyncDisposableStack();
      const running = new Map<string, Running>();
      for (const [name, start] of group) {
        const server = stack.use(await start());
        const model = await modelOf(server);
        const load = (clients: number, promptWords: number, maxTokens: number, requests: number): Promise<Measured> => measure({ url: server.url, model, clients, requests, promptWords, maxTokens, run: ++count });
        // Not counted: a server's first seconds (ours starts its trainer, compiles its code, and takes memory for the first prompts of a length).
        await load(1, PROMPT_WORDS, 16, 1);
        await load(1, PREFILL_WORDS, 1, 3);
        running.set(name, { server, load });
      }
      for (let repetition = 0; repetition < Number(values.repetitions); repetition++) {
        const prefill = new Map<string, Measured>();
        for (const [name, { load }] of running) prefill.set(name, await load(1, PREFILL_WORDS, 1, 3));
        const decode = new Map<string, Map<number, Measured>>(Array.from(running.keys(), (name) => [name, new Map<number, Measured>()]));
        for (const n of clients) for (const [name, { load }] of running) decode.get(name)?.set(n, await load(n, PROMPT_WORDS, MAX_TOKENS, n === 1 ? 2 * Number(values.requests) : Number(values.requests)));
        for (const [name, { server }] of running) {
          const measured = figuresOf(decode.get(name) ?? new Map<number, Measured>(), prefill.get(name), await server.memoryMb());
          figures.set(name, [...figures.get(name) ?? [], measured]);
          print(`${repetition + 1} ${name.padEnd(15)} ${[...measured.decode].map(([n, { tokensPerSecond }]) => `${n} clients ${tokensPerSecond.toFixed(0)}`).join('  ')} tokens/s  prefill ${measured.prefillTokensPerSecond.toFixed(0)}`);
        }
      }
    }
    return report(figures, clients, print);
  } finally {
    rmSync(work, { recursive: true });
  }
};

function figuresOf(decode: ReadonlyMap<number, Measured>, prefill: Measured | undefined, memoryMb: number): Figures {
  return {
    decode: new Map([...decode].map(([n, { outputTokensPerSecond, firstToken }]) => [n, { tokensPerSecond: outputTokensPerSecond, firstTokenP50: quantile(firstToken, 0.5), firstTokenP99: quantile(firstToken, 0.99) }])),
    prefillTokensPerSecond: prefill?.promptTokensPerSecond ?? NaN, memoryMb,
  };
}

/** The first that it lists. */
async function modelOf({ url }: Server): Promise<string> {
  const { data } = await (await fetch(`${url}/v1/models`)).json() as { data: readonly { id: string }[] }; // as OpenAI's API has it
  return data[0]?.id ?? '';
}

/** One that somebody else started, and ends. */
const runningAt = (url: string): Promise<Server> => Promise.resolve({ url, readyMs: 0, memoryMb: () => Promise.resolve(0), cpuSeconds: () => Promise.resolve(0), [Symbol.asyncDispose]: () => Promise.resolve() });

/** The same weights as a GGUF file of another type, made once. */
function quantized(program: string, model: string, type: string, work: string): string {
  const path = join(work, `${type}.gguf`);
  if (!existsSync(path)) execFileSync(join(program, 'llama-quantize'), ['--allow-requantize', model, path, type], { stdio: 'ignore' });
  return path;
}

function report(figures: ReadonlyMap<string, readonly Figures[]>, clients: readonly number[], print: (line: string) => void): Record<string, unknown> {
  const of = (name: string, pick: (figure: Figures) => number | undefined): number => median((figures.get(name) ?? []).map((figure) => pick(figure) ?? NaN));
  const digits = (number: number, places = 3): number => Number(number.toFixed(places));
  const servers = Object.fromEntries([...figures.keys()].map((name) => [name, {
    tokensPerSecond: Object.fromEntries(clients.map((n) => [n, digits(of(name, ({ decode }) => decode.get(n)?.tokensPerSecond), 1)])),
    firstTokenP50: Object.fromEntries(clients.map((n) => [n, digits(of(name, ({ decode }) => decode.get(n)?.firstTokenP50))])),
    firstTokenP99: Object.fromEntries(clients.map((n) => [n, digits(of(name, ({ decode }) => decode.get(n)?.firstTokenP99))])),
    prefillTokensPerSecond: digits(of(name, ({ prefillTokensPerSecond }) => prefillTokensPerSecond), 0),
    memoryMb: digits(of(name, ({ memoryMb }) => memoryMb), 0),
  }]));
  const ratios = Object.fromEntries(Object.entries(pairs).filter(([, names]) => names.every((name) => figures.has(name))).map(([pair, [mine, theirs]]) => [pair, {
    // Of each repetition, so that what the machine does meanwhile weighs on both.
    ...Object.fromEntries(clients.map((n) => [`clients${n}`, digits(ratio(figures, mine, theirs, ({ decode }) => decode.get(n)?.tokensPerSecond))])),
    prefill: digits(ratio(figures, mine, theirs, ({ prefillTokensPerSecond }) => prefillTokensPerSecond)),
  }]));
  for (const [pair, ofPair] of Object.entries(ratios)) print(`${pair}: ${Object.entries(ofPair).map(([what, value]) => `${what} ${value}×`).join('  ')}`);
  return { servers, ratios };
}

function ratio(figures: ReadonlyMap<string, readonly Figures[]>, a: string, b: string, pick: (figure: Figures) => number | undefined): number {
  const [as, bs] = [figures.get(a) ?? [], figures.get(b) ?? []];
  return median(as.map((figure, i) => (pick(figure) ?? NaN) / ((bs[i] && pick(bs[i])) ?? NaN)));
}
