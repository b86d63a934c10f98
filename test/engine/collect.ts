/** Starting an engine on the tiny golden model, and reading its streams, for the tests of this folder. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEngine } from '../../engine/client.ts';
import type { Engine, EngineOptions, FinishReason, GenerateRequest, SampledToken } from '../../engine/engine.ts';
import { NO_PENALTIES } from '../../engine/penalties.ts';
import { readSafetensors } from '../../model/weights/safetensors.ts';

export const modelDirectory = new URL('../fixtures/golden/models/llama-tied/', import.meta.url).pathname;
export const golden = readSafetensors(join(modelDirectory, 'golden.safetensors'));
export const VOCAB = 97;
export const never = new AbortController().signal;

export interface RunningEngine extends AsyncDisposable {
  readonly engine: Engine;
  readonly directory: string;
}

export async function engineOn(model: string, options: Partial<EngineOptions> = {}): Promise<RunningEngine> {
  const directory = await mkdtemp(join(tmpdir(), 'engine-'));
  const engine = await startEngine({
    model, cacheDir: join(directory, 'cache'), maxContext: 64, maxRows: 8, maxQueue: 64, maxQueueMs: 60_000, maxStallMs: 50, threads: 1, swap: 'finish', prefixCacheBytes: 0, ...options,
  });
  return {
    engine, directory,
    async [Symbol.asyncDispose]() {
      await engine.close();
      await rm(directory, { recursive: true });
    },
  };
}

export const greedy = { temperature: 0, topP: 1, topK: 0, minP: 0, seed: null, ...NO_PENALTIES };

export function request(prompt: ArrayLike<number>, changes: Partial<GenerateRequest> = {}): GenerateRequest {
  return { promptTokenIds: Int32Array.from(prompt), n: 1, maxTokens: 12, stopTokenIds: [], sampling: greedy, topLogprobs: 0, version: null, ...changes };
}

export interface Choice {
  readonly tokens: SampledToken[];
  reason: FinishReason | null;
}

/** All choices of one request, read to the end. `onToken` sees each as it comes. */
export async function collect(engine: Engine, request: GenerateRequest, signal = never, onToken: (count: number) => Promise<void> | void = () => {}): Promise<Choice[]> {
  const choices: Choice[] = Array.from({ length: request.n }, () => ({ tokens: [], reason: null }));
  let count = 0;
  for await (const event of engine.generate(request, signal)) {
    if (event.type === 'started') continue;
    const choice = choices[event.choice];
    if (!choice) throw new Error(`choice ${event.choice} of ${request.n}`);
    if (event.type === 'finished') {
      choice.reason = event.reason;
    } else {
      choice.tokens.push(event.token);
      await onToken(++count);
    }
  }
  return choices;
}

export const idsOf = (choice: Choice | undefined): number[] => choice?.tokens.map(({ id }) => id) ?? [];
export const versionsOf = (choice: Choice | undefined): number[] => choice?.tokens.map(({ version }) => version) ?? [];
