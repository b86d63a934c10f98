/** The versions that are loaded, and which of them is current. */
import { EngineError, type EngineOptions } from './engine.ts';
import { Lane, type Job } from './lane.ts';
import type { KvShape } from './kv.ts';
import type { Policy } from './policy.ts';

export interface LaneOptions {
  readonly shape: KvShape;
  readonly maxContext: number;
  readonly maxRows: number;
  readonly swap: EngineOptions['swap'];
}

export class Lanes implements Iterable<Lane> {
  readonly #options: LaneOptions;
  readonly #lanes = new Map<number, Lane>();
  readonly #base: Lane;
  #current: Lane;

  constructor(base: Policy, options: LaneOptions) {
    this.#options = options;
    this.#base = this.add(base);
    this.#current = this.#base;
  }

  get current(): Lane {
    return this.#current;
  }

  get versions(): number[] {
    return [...this.#lanes.keys()];
  }

  /** The lane whose prompt is being read. */
  get reader(): Lane | undefined {
    for (const lane of this) if (lane.reading) return lane;
    return undefined;
  }

  [Symbol.iterator](): IterableIterator<Lane> {
    return this.#lanes.values();
  }

  /** @throws EngineError `engine_failed` when there is one of this version already */
  add(policy: Policy): Lane {
    if (this.#lanes.has(policy.version)) throw new EngineError('engine_failed', `Policy version ${policy.version} is loaded already.`);
    const lane = new Lane(policy, this.#options.shape, this.#options.maxContext, this.#options.maxRows);
    this.#lanes.set(policy.version, lane);
    return lane;
  }

  /** Whether a version is loaded; one that was about to be freed is kept after all. */
  keep(version: number): boolean {
    const lane = this.#lanes.get(version);
    if (lane) lane.isRetiring = false;
    return lane !== undefined;
  }

  /** @throws EngineError `unknown_version` */
  of(version: number): Lane {
    const lane = this.#lanes.get(version);
    if (lane) return lane;
    throw new EngineError('unknown_version', this.unknown(version));
  }

  /** Whether new requests may be pinned to it. */
  accepts(version: number): boolean {
    return this.#lanes.get(version)?.isRetiring === false;
  }

  unknown(version: number): string {
    return `Policy version ${version} is not loaded; loaded are ${this.versions.join(', ')}.`;
  }

  /** One pointer write; with `cross`, running requests that follow the current version move to it. @throws EngineError `unknown_version` */
  setCurrent(version: number): void {
    const lane = this.of(version);
    this.#current = lane;
    if (this.#options.swap === 'finish') return;
    const follows = (job: Job): boolean => job.request.version === null;
    for (const other of this) if (other !== lane) lane.takeFrom(other, follows);
  }

  /** The base model stays: it is what one can always roll back to, and its session is the adapters' too. @throws EngineError `unknown_version` */
  retire(version: number): void {
    const lane = this.of(version);
    lane.isRetiring = lane !== this.#base;
  }

  /** Frees retired versions that nothing refers to any more. @returns which */
  release(isAwaited: (version: number) => boolean): number[] {
    const freed: number[] = [];
    for (const [version, lane] of this.#lanes) {
      if (!lane.isRetiring || lane === this.#current || !lane.isEmpty || isAwaited(version)) continue;
      this.#lanes.delete(version);
      lane.policy.release();
      freed.push(version);
    }
    return freed;
  }
}
