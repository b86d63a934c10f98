/** What users do to an engine, at random: short and long prompts, groups, next turns, aborts; and policies that are swapped, loaded and unloaded meanwhile. */
import { setTimeout as sleep } from 'node:timers/promises';
import { EngineError, type Engine, type GenerateRequest, type PolicyFiles } from '../../engine/engine.ts';
import { NO_PENALTIES } from '../../engine/penalties.ts';

export interface Load {
  readonly engine: Engine;
  readonly vocabSize: number;
  readonly clients: number;
  /** Directories of adapters that new versions are made of, in turn. */
  readonly adapters: readonly string[];
  /** Between two swaps. */
  readonly swapMs: number;
  /** It goes on past the signal until adapters have sampled so many: a busy machine makes fewer in the same time. */
  readonly adapterTokens?: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** One choice that came to its end. */
export interface Sample {
  readonly prompt: Int32Array;
  readonly tokenIds: readonly number[];
  readonly logprobs: readonly number[];
  /** Of each token. */
  readonly versions: readonly number[];
}

export interface Outcome {
  readonly samples: readonly Sample[];
  readonly requests: number;
  readonly aborted: number;
  readonly swaps: number;
  /** Which adapter a version was, by its place in `adapters`. Version 0 is the base model. */
  readonly adapterOf: ReadonlyMap<number, number>;
  /** Sentences of what must not happen. */
  readonly failures: readonly string[];
  /** Between two tokens of a choice. */
  readonly gapsMs: readonly number[];
}

/** Whatever was sampled last, so that memory does not grow with time. */
const KEPT_SAMPLES = 2000;
const KEPT_GAPS = 100_000;

/** Runs until the signal, then lets what is running end. */
export async function runLoad({ engine, vocabSize, clients, adapters, swapMs, adapterTokens = 0, random }: Load, until: AbortSignal): Promise<Outcome> {
  const samples: Sample[] = [], gapsMs: number[] = [], failures: string[] = [];
  const adapterOf = new Map<number, number>();
  let requests = 0, aborted = 0, swaps = 0, sampledByAdapters = 0;
  const isOver = (): boolean => until.aborted && (sampledByAdapters >= adapterTokens || failures.length > 0);
  const upTo = (most: number): number => Math.floor(random() * most);
  const tokens = (count: number): number[] => Array.from({ length: count }, () => upTo(vocabSize));
  const systems = [8, 20, 33].map((length) => tokens(Math.min(length, Math.floor(engine.maxContext / 4))));

  const anyPrompt = (): Int32Array => {
    const last = samples[upTo(samples.length)];
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
    const choices = Array.from({ length: n }, () => ({ tokenIds: [] as number[], logprobs: [] as number[], versions: [] as number[], lastMs: NaN, hasEnded: false }));
    let seen = 0;
    try {
      if (abortAt === 0) setTimeout(() => { abort.abort(); }, upTo(20));
      for await (const event of engine.generate(request, abort.signal)) {
        if (event.type === 'started') continue;
        const choice = choices[event.choice];
        if (!choice || choice.hasEnded) throw new Error(`an event of choice ${event.choice}, which is none or has ended`);
        if (event.type === 'finished') {
          choice.hasEnded = true;
          continue;
        }
        const now = performance.now();
        if (choice.lastMs > 0) gapsMs.push(now - choice.lastMs);
        choice.lastMs = now;
        choice.tokenIds.push(event.token.id);
        choice.logprobs.push(event.token.logprob);
        choice.versions.push(event.token.version);
        if (++seen === abortAt) abort.abort();
      }
      if (choices.some(({ hasEnded }) => !hasEnded)) throw new Error('a choice without an end');
      for (const { tokenIds, logprobs, versions } of choices) {
        samples.push({ prompt: promptTokenIds, tokenIds, logprobs, versions });
        if (new Set(versions).size === 1 && versions[0] !== 0) sampledByAdapters += tokenIds.length;
      }
    } catch (error) {
      if (abort.signal.aborted) aborted++;
      else failures.push(error instanceof EngineError ? `${error.code}: ${error.message}` : String(error));
    }
    requests++;
    samples.splice(0, samples.length - KEPT_SAMPLES);
    gapsMs.splice(0, gapsMs.length - KEPT_GAPS);
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
  return { samples, requests, aborted, swaps, adapterOf, failures, gapsMs };
}
