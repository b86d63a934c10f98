/** What users do to an engine, at random: short and long prompts, groups, next turns, aborts; and policies that are swapped, loaded and unloaded meanwhile. */
import { setTimeout as sleep } from 'node:timers/promises';
import { EngineError, type Engine, type GenerateRequest, type PolicyFiles } from '../../engine/engine.ts';
import { NO_PENALTIES } from '../../engine/penalties.ts';
import { Reservoir } from './reservoir.ts';

export interface Load {
  readonly engine: Engine;
  readonly vocabSize: number;
  readonly clients: number;
  /** Directories of adapters that new versions are made of, in turn. */
  readonly adapters: readonly string[];
  /** Between two swaps. */
  readonly swapMs: number;
  /** It goes on past the signal until so many are sampled: a busy machine makes fewer in the same time. */
  readonly leastTokens?: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** One choice, which came to its end or was aborted with its request. */
export interface Sample {
  readonly prompt: Int32Array;
  readonly tokenIds: readonly number[];
  readonly logprobs: readonly number[];
  /** Of each token. */
  readonly versions: readonly number[];
  readonly wasAborted: boolean;
  /** Whether the current version changed meanwhile. */
  readonly sawSwap: boolean;
}

export interface Outcome {
  /** Spread evenly over the run. */
  readonly samples: readonly Sample[];
  readonly requests: number;
  readonly aborted: number;
  /** Requests of which nothing was heard for `STUCK_MS`. */
  readonly stuck: number;
  readonly swaps: number;
  /** Which adapter a version was, by its place in `adapters`. Version 0 is the base model. */
  readonly adapterOf: ReadonlyMap<number, number>;
  /** Sentences of what must not happen. */
  readonly failures: readonly string[];
}

interface Choice {
  readonly tokenIds: number[];
  readonly logprobs: number[];
  readonly versions: number[];
  hasEnded: boolean;
}

/** Kept for good, so that memory does not grow with time. */
const KEPT_SAMPLES = 1500;
/** What next turns and other members of a group are made of. */
const RECENT_SAMPLES = 64;
/** Longer than a request waits for a row, or a row for its next token. */
const STUCK_MS = 120_000;

/** Runs until the signal, then lets what is running end. */
export async function runLoad({ engine, vocabSize, clients, adapters, swapMs, leastTokens = 0, random }: Load, until: AbortSignal): Promise<Outcome> {
  const samples = new Reservoir<Sample>(KEPT_SAMPLES, random);
  const recent: Sample[] = [], failures: string[] = [];
  const adapterOf = new Map<number, number>();
  let requests = 0, aborted = 0, stuck = 0, swaps = 0, sampled = 0;
  const isOver = (): boolean => until.aborted && (sampled >= leastTokens || failures.length > 0);
  const upTo = (most: number): number => Math.floor(random() * most);
  const tokens = (count: number): number[] => Array.from({ length: count }, () => upTo(vocabSize));
  const systems = [8, 20, 33].map((length) => tokens(Math.min(length, Math.floor(engine.maxContext / 4))));

  const anyPrompt = (): Int32Array => {
    const last = recent[upTo(recent.length)];
    const kind = random();
    const text = kind < 0.4 || !last ? [...systems[upTo(systems.length)] ?? [], ...tokens(1 + upTo(12))]
      : kind < 0.6 ? [...last.prompt, ...last.tokenIds, ...tokens(1 + upTo(8))] // the next turn
        : kind < 0.8 ? last.prompt // another member of its group
          : tokens(1 + upTo(engine.maxContext - 2));
    return Int32Array.from(text).subarray(0, engine.maxContext - 1);
  };

  const call = async (): Promise<void> => {
    const promptTokenIds = anyPrompt();
    const n = random() < 0.8 ? 1 : 1 + upTo(4);
    const request: GenerateRequest = {
      promptTokenIds, n, maxTokens: 1 + upTo(60), stopTokenIds: [upTo(vocabSize)], topLogprobs: 0, version: null,
      sampling: { temperature: 1, topP: 1, topK: 0, minP: 0, seed: random() < 0.5 ? upTo(1000) : null, ...NO_PENALTIES },
    };
    const abort = new AbortController();
    const abortAt = random() < 0.2 ? upTo(40) : Infinity;
    const choices = Array.from({ length: n }, (): Choice => ({ tokenIds: [], logprobs: [], versions: [], hasEnded: false }));
    const swapsBefore = swaps;
    let seen = 0;
    const watchdog = setTimeout(() => {
      stuck++;
      failures.push(`stuck: nothing was heard of a request for ${STUCK_MS / 1000} s, after ${seen} tokens`);
      abort.abort();
    }, STUCK_MS);
    try {
      if (abortAt === 0) setTimeout(() => { abort.abort(); }, upTo(20));
      for await (const event of engine.generate(request, abort.signal)) {
        watchdog.refresh();
        if (event.type === 'started') continue;
        const choice = choices[event.choice];
        if (!choice || choice.hasEnded) throw new Error(`an event of choice ${event.choice}, which is none or has ended`);
        if (event.type === 'finished') {
          choice.hasEnded = true;
          continue;
        }
        choice.tokenIds.push(event.token.id);
        choice.logprobs.push(event.token.logprob);
        choice.versions.push(event.token.version);
        if (++seen === abortAt) abort.abort();
      }
      if (choices.some(({ hasEnded }) => !hasEnded)) throw new Error('a choice without an end');
    } catch (error) {
      if (abort.signal.aborted) aborted++;
      else failures.push(error instanceof EngineError ? `${error.code}: ${error.message}` : String(error));
    } finally {
      clearTimeout(watchdog);
    }
    requests++;
    sampled += seen;
    for (const { hasEnded, ...choice } of choices) {
      if (choice.tokenIds.length === 0) continue;
      const sample = { prompt: promptTokenIds, ...choice, wasAborted: !hasEnded, sawSwap: swaps > swapsBefore };
      samples.add(sample);
      recent.push(sample);
    }
    recent.splice(0, recent.length - RECENT_SAMPLES);
  };

  const swapOften = async (): Promise<void> => {
    const loaded: PolicyFiles[] = [];
    for (let version = 1; adapters.length > 0 && !isOver(); version++) {
      const adapter = version % adapters.length;
      const files = { version, kind: 'adapter', directory: adapters[adapter] ?? '' } as const;
      adapterOf.set(version, adapter);
      await engine.loadPolicy(files);
      loaded.push(files);
      for (const { version: next } of [files, random() < 0.5 ? { version: 0 } : loaded[upTo(loaded.length)] ?? files, files]) {
        await engine.setCurrent(next);
        swaps++;
        await sleep(swapMs);
      }
      const [oldest] = loaded.length > 2 ? loaded.splice(0, 1) : [];
      if (oldest) await engine.unloadPolicy(oldest.version);
    }
  };

  const client = async (): Promise<void> => { while (!isOver()) await call(); };
  const swapping = swapOften().catch((error: unknown) => { failures.push(`a swap failed: ${String(error)}`); });
  await Promise.all([swapping, ...Array.from({ length: clients }, client)]);
  return { samples: samples.kept, requests, aborted, stuck, swaps, adapterOf, failures };
}
