/** The servers behind the backend: looked after one by one, and one of them chosen for each call. */
import { setTimeout as sleep } from 'node:timers/promises';
import { BoundedMap } from '../../capture/bounded-map.ts';
import { ApiError } from '../../errors.ts';
import type { Adapter } from './adapter.ts';
import { choose } from './choose.ts';
import type { Replica } from './replica.ts';
import { putToSleep, wakeUp } from './sleep.ts';

/** More rollouts than are ever open. */
const maxRollouts = 10_000;
/** How long the start waits for servers that are slow to answer; those that are not there are known at once. */
const startMs = 5000;
const retryAfterSeconds = 1;

export class Replicas {
  readonly all: readonly Replica[];
  readonly #healthMs: number;
  /** Where a rollout's calls go. */
  readonly #placed = new BoundedMap<string, Replica>(maxRollouts);
  readonly #end = new AbortController();
  #watching: readonly Promise<void>[] = [];
  #chosen = 0;

  constructor(all: readonly Replica[], healthMs: number) {
    this.all = all;
    this.#healthMs = healthMs;
  }

  get ready(): readonly Replica[] {
    return this.all.filter(({ isReady }) => isReady);
  }

  /** Looks after every replica from now on. Resolves when each was found well or not, or after five seconds. */
  async start(): Promise<void> {
    const first = Promise.all(this.all.map((replica) => replica.check(this.#end.signal)));
    this.#watching = this.all.map((replica) => this.#watch(replica, first));
    await Promise.race([first, sleep(startMs)]);
  }

  /**
   * Counts the call as one of the replica's until `release`.
   * @param tried replicas that failed it
   * @throws ApiError 503 where none is left
   */
  take(rollout: string, tried: ReadonlySet<Replica>): { readonly replica: Replica; readonly release: () => void } {
    const replica = choose(this.ready.filter((each) => !tried.has(each)), this.#placed.get(rollout));
    if (replica === null) throw new ApiError(503, `No vLLM server takes calls at the moment. ${this.description}.`, { code: 'no_replica', retryAfter: retryAfterSeconds });
    this.#placed.set(rollout, replica);
    replica.chosenAt = ++this.#chosen;
    replica.outstanding++;
    let isOpen = true;
    return {
      replica,
      release: () => {
        if (isOpen) replica.outstanding--;
        isOpen = false;
      },
    };
  }

  /** A call failed there: looks after it now, not at its next turn. */
  suspect(replica: Replica): void {
    void replica.check(this.#end.signal);
  }

  /**
   * When this resolves, every replica that takes calls has the adapter.
   * @throws ApiError 409 where one refuses it
   */
  async load(adapter: Adapter): Promise<void> {
    const results = await Promise.allSettled(this.all.map((replica) => replica.load(adapter)));
    const refused = results.find((result) => result.status === 'rejected');
    if (refused !== undefined) throw refused.reason;
  }

  async unload(adapter: Adapter): Promise<void> {
    await Promise.all(this.all.map((replica) => replica.unload(adapter)));
  }

  /** @throws ApiError where one that takes calls cannot sleep */
  async rest(): Promise<void> {
    await Promise.all(this.ready.map(({ upstream }) => putToSleep(upstream)));
  }

  async wake(): Promise<void> {
    await Promise.all(this.ready.map(({ upstream }) => wakeUp(upstream)));
  }

  get description(): string {
    return this.all.map(({ description }) => description).join('; ');
  }

  async close(): Promise<void> {
    this.#end.abort();
    await Promise.all(this.all.map((replica) => replica.close()));
    await Promise.all(this.#watching);
  }

  async #watch(replica: Replica, first: Promise<unknown>): Promise<void> {
    const { signal } = this.#end;
    await first;
    while (!signal.aborted) {
      // Waking early by the signal is how this ends, not an error.
      await sleep(this.#healthMs, undefined, { signal, ref: false }).catch(() => undefined);
      if (!signal.aborted) await replica.check(signal);
    }
  }
}
