/** What is in the journal and not in the database yet, in order, and who waits for that. */

/** How far the database may lag behind what clients have been told: then they wait for it, as they would without a journal. */
const maxAhead = { entries: 1024, bytes: 8 * 1024 * 1024 };

interface Waiter { readonly isOver: () => boolean; readonly resolve: () => void }

export class Backlog {
  /** Bytes of each entry. */
  readonly #sizes: number[] = [];
  #bytes = 0;
  #added = 0;
  #waiters: Waiter[] = [];

  get entries(): number {
    return this.#sizes.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(bytes: number): void {
    this.#added++;
    this.#sizes.push(bytes);
    this.#bytes += bytes;
  }

  /** The oldest `count` are in the database. */
  settle(count: number): void {
    for (const bytes of this.#sizes.splice(0, count)) this.#bytes -= bytes;
    this.#wake((waiter) => waiter.isOver());
  }

  /** Nobody waits any longer: the database does not take anything now. */
  release(): void {
    this.#wake(() => true);
  }

  /** Until all that was added before is in the database. */
  settled(): Promise<void> {
    const all = this.#added;
    return this.#until(() => this.#added - this.#sizes.length >= all);
  }

  /** Until the database has come near enough. */
  room(): Promise<void> {
    return this.#until(() => this.#sizes.length <= maxAhead.entries && this.#bytes <= maxAhead.bytes);
  }

  #until(isOver: () => boolean): Promise<void> {
    if (isOver()) return Promise.resolve();
    return new Promise((resolve) => { this.#waiters.push({ isOver, resolve }); });
  }

  #wake(whom: (waiter: Waiter) => boolean): void {
    if (this.#waiters.length === 0) return;
    const over = this.#waiters.filter(whom);
    this.#waiters = this.#waiters.filter((waiter) => !over.includes(waiter));
    for (const { resolve } of over) resolve();
  }
}
