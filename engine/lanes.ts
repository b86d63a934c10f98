/** The versions that are loaded, which of them is current, and the lanes they work in: one for each set of weights. */
import { EngineError, type EngineOptions } from './engine.ts';
import { Lane, type Job, type LaneOptions } from './lane.ts';
import type { Policy } from './policy.ts';

interface Loaded {
  readonly policy: Policy;
  readonly lane: Lane;
  /** No new requests; freed when nothing uses it. */
  isRetiring: boolean;
}

export class Lanes implements Iterable<Lane> {
  readonly #options: LaneOptions;
  readonly #swap: EngineOptions['swap'];
  readonly #loaded = new Map<number, Loaded>();
  readonly #base: Loaded;
  #current: Loaded;
  #lastLane = 0;

  constructor(base: Policy, swap: EngineOptions['swap'], options: LaneOptions) {
    this.#options = options;
    this.#swap = swap;
    this.#base = this.#add(base);
    this.#current = this.#base;
  }

  get current(): Pick<Loaded, 'policy' | 'lane'> {
    return this.#current;
  }

  get versions(): number[] {
    return [...this.#loaded.keys()];
  }

  /** The lane whose prompt is being read. */
  get reader(): Lane | undefined {
    for (const lane of this) if (lane.reading) return lane;
    return undefined;
  }

  [Symbol.iterator](): IterableIterator<Lane> {
    return new Set(Array.from(this.#loaded.values(), ({ lane }) => lane)).values();
  }

  /** @throws EngineError `engine_failed` when there is one of this version already */
  add(policy: Policy): void {
    this.#add(policy);
  }

  /** Whether a version is loaded; one that was about to be freed is kept after all. */
  keep(version: number): boolean {
    const loaded = this.#loaded.get(version);
    if (loaded) loaded.isRetiring = false;
    return loaded !== undefined;
  }

  /** @throws EngineError `unknown_version` */
  of(version: number): Pick<Loaded, 'policy' | 'lane'> {
    return this.#of(version);
  }

  /** Whether new requests may be pinned to it. */
  accepts(version: number): boolean {
    return this.#loaded.get(version)?.isRetiring === false;
  }

  unknown(version: number): string {
    return `Policy version ${version} is not loaded; loaded are ${this.versions.join(', ')}.`;
  }

  /** One pointer write; with `cross`, running requests that follow the current version go on with it. @throws EngineError `unknown_version` */
  setCurrent(version: number): void {
    this.#current = this.#of(version);
    const { lane, policy } = this.#current;
    if (this.#swap === 'cross') lane.takeOver(policy, this, (job: Job) => job.request.version === null);
  }

  /** The base model stays: it is what one can always roll back to, and its sessions are the adapters' too. @throws EngineError `unknown_version` */
  retire(version: number): void {
    const loaded = this.#of(version);
    loaded.isRetiring = loaded !== this.#base;
  }

  /** Idle lanes give their memory back; the current one keeps it for the next request, unless told otherwise: to get it anew from the system takes a tenth of the time in which a prompt is read. */
  rest(all: boolean): void {
    for (const lane of this) if (all || lane !== this.#current.lane) lane.rest();
  }

  /** Frees retired versions that nothing refers to any more. @returns which */
  release(isAwaited: (version: number) => boolean): number[] {
    this.rest(false);
    const freed: number[] = [];
    for (const [version, loaded] of this.#loaded) {
      const { policy, lane, isRetiring } = loaded;
      if (!isRetiring || loaded === this.#current || lane.work.some((work) => work.policy === policy) || isAwaited(version)) continue;
      this.#loaded.delete(version);
      policy.release();
      freed.push(version);
    }
    return freed;
  }

  #add(policy: Policy): Loaded {
    const { version, runner } = policy;
    if (this.#loaded.has(version)) throw new EngineError('engine_failed', `Policy version ${version} is loaded already.`);
    const lane = [...this].find((known) => known.runner === runner) ?? new Lane(++this.#lastLane, runner, this.#options);
    const loaded = { policy, lane, isRetiring: false };
    this.#loaded.set(version, loaded);
    return loaded;
  }

  #of(version: number): Loaded {
    const loaded = this.#loaded.get(version);
    if (loaded) return loaded;
    throw new EngineError('unknown_version', this.unknown(version));
  }
}
