/** A batcher over real policies of the tiny golden model, stepped by hand: what happens between two steps is then certain. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Batcher, type BatcherParts } from '../../engine/batcher.ts';
import type { GenerateRequest } from '../../engine/engine.ts';
import { cacheShape } from '../../engine/decode-graph.ts';
import { PolicyLoader, type PolicyOptions } from '../../engine/policy.ts';
import type { Failure, RequestEvent } from '../../engine/protocol.ts';
import { modelDirectory, type Choice } from './collect.ts';

export const LIMITS = { maxRows: 8, maxQueue: 64, maxQueueMs: 1000, maxContext: 64, chunk: 256, prefillBudget: 256 };

export interface Outcome {
  readonly choices: Choice[];
  started: boolean;
  done: boolean;
  error: Failure | null;
}

export class Stepping implements AsyncDisposable {
  readonly batcher: Batcher;
  readonly loader: PolicyLoader;
  readonly directory: string;
  readonly #outcomes: Map<number, Outcome>;
  #lastId = 0;

  private constructor(batcher: Batcher, loader: PolicyLoader, directory: string, outcomes: Map<number, Outcome>) {
    this.batcher = batcher;
    this.loader = loader;
    this.directory = directory;
    this.#outcomes = outcomes;
  }

  static async start(parts: Partial<BatcherParts> = {}, policies: Partial<PolicyOptions> = {}): Promise<Stepping> {
    const directory = await mkdtemp(join(tmpdir(), 'batcher-'));
    const limits = parts.limits ?? LIMITS;
    const loader = await PolicyLoader.open(modelDirectory, { cacheDir: join(directory, 'cache'), maxContext: limits.maxContext, threads: 1, ...policies });
    const outcomes = new Map<number, Outcome>();
    const batcher = new Batcher({
      base: await loader.base(), shape: cacheShape(loader.config), limits, swap: 'finish', prefixCacheBytes: 0, maxStallMs: 50, drawSeed: () => 1, now: () => 0,
      emit: (id, event) => { note(outcomes.get(id), event); }, ...parts,
    });
    return new Stepping(batcher, loader, directory, outcomes);
  }

  submit(request: GenerateRequest): Outcome & { readonly id: number } {
    const id = ++this.#lastId;
    const outcome = { id, choices: Array.from({ length: request.n }, () => ({ tokens: [], reason: null })), started: false, done: false, error: null };
    this.#outcomes.set(id, outcome);
    this.batcher.submit(id, request, 0);
    return outcome;
  }

  async load(version: number, directory: string, kind: 'adapter' | 'full' = 'adapter'): Promise<void> {
    this.batcher.addPolicy(await this.loader.load({ version, kind, directory }));
  }

  /** Until `until` holds, or there is nothing left to do. */
  async run(until: () => boolean = () => false): Promise<void> {
    while (!until() && await this.batcher.step());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true });
  }
}

function note(outcome: Outcome | undefined, event: RequestEvent): void {
  if (!outcome) throw new Error('an event of no request');
  if (outcome.done || outcome.error) throw new Error(`${event.type} after the end`);
  switch (event.type) {
    case 'started': outcome.started = true; break;
    case 'token': outcome.choices[event.choice]?.tokens.push(event.token); break;
    case 'finished': {
      const choice = outcome.choices[event.choice];
      if (choice) choice.reason = event.reason;
      break;
    }
    case 'done': outcome.done = true; break;
    case 'failed': outcome.error = event.error; break;
  }
}
