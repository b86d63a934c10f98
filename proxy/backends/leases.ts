/**
 * The policy versions of a remote server and who is using them: a version is let go when it is not wanted any more and the last call on it has
 * ended. Knows nothing of how a server loads them.
 */
import { ApiError } from '../errors.ts';

/** How long a call that cannot be served now is told to wait. */
const retryAfterSeconds = 1;

interface Entry<Loaded> {
  readonly loaded: Loaded;
  leases: number;
  /** Set while the version waits for its last lease; called with whether it is to be unloaded then. */
  onEnd: ((unload: boolean) => void) | null;
}

export class PolicyLeases<Loaded> {
  readonly #entries = new Map<number, Entry<Loaded>>();
  #onIdle: (() => void) | null = null;

  /** All versions that calls may still need, those that wait for their end included. */
  get versions(): ReadonlyMap<number, Loaded> {
    return new Map([...this.#entries].map(([version, { loaded }]) => [version, loaded]));
  }

  /** Resolves when no call has a lease. */
  whenIdle(): Promise<void> {
    if (this.leased === 0) return Promise.resolve();
    return new Promise((resolve) => { this.#onIdle = resolve; });
  }

  get leased(): number {
    return [...this.#entries.values()].reduce((sum, { leases }) => sum + leases, 0);
  }

  find(version: number): Loaded | undefined {
    return this.#entries.get(version)?.loaded;
  }

  /** From now on calls may use the version. One that was on its way out stays. */
  add(version: number, loaded: Loaded): void {
    const entry = this.#entries.get(version);
    if (entry === undefined) this.#entries.set(version, { loaded, leases: 0, onEnd: null });
    else this.#end(entry, false);
  }

  /** Takes a version back that could not be loaded. */
  remove(version: number): void {
    this.#entries.delete(version);
  }

  /**
   * Keeps a version for the length of a call.
   * @returns what ends the lease; calling it again does nothing
   * @throws ApiError 503 where the version is not there any more
   */
  lease(version: number): { readonly loaded: Loaded; readonly release: () => void } {
    const entry = this.#entries.get(version);
    if (entry === undefined) throw new ApiError(503, `Policy version ${version} is not loaded at the moment. Try again.`, { code: 'unknown_version', retryAfter: retryAfterSeconds });
    entry.leases++;
    let held = true;
    const release = (): void => {
      if (!held) return;
      held = false;
      entry.leases--;
      if (this.#onIdle !== null && this.leased === 0) this.#onIdle();
      if (entry.leases > 0 || entry.onEnd === null) return;
      this.#entries.delete(version);
      this.#end(entry, true);
    };
    return { loaded: entry.loaded, release };
  }

  /** Waits for the version's last lease. @returns what is to be unloaded now; null where it was added again meanwhile, or is not known. */
  async letGo(version: number): Promise<Loaded | null> {
    const entry = this.#entries.get(version);
    if (entry === undefined) return null;
    if (entry.leases === 0) {
      this.#entries.delete(version);
      return entry.loaded;
    }
    this.#end(entry, false);
    const unload = await new Promise<boolean>((resolve) => { entry.onEnd = resolve; });
    return unload ? entry.loaded : null;
  }

  #end(entry: Entry<Loaded>, unload: boolean): void {
    entry.onEnd?.(unload);
    entry.onEnd = null;
  }
}
