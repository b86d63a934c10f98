/** A queue between one producer and one `for await`: values wait until they are asked for. */
export class Stream<T> {
  readonly #values: T[] = [];
  #end: { readonly error: unknown } | 'open' | 'ended' = 'open';
  #wake: (() => void) | null = null;

  push(value: T): void {
    this.#values.push(value);
    this.#notify();
  }

  /** What was pushed before is still delivered. */
  end(): void {
    if (this.#end === 'open') this.#end = 'ended';
    this.#notify();
  }

  /** Ends the iteration with an error, at once: what was not read yet is dropped. */
  fail(error: unknown): void {
    if (this.#end === 'open') this.#end = { error };
    this.#values.length = 0;
    this.#notify();
  }

  async *values(): AsyncGenerator<T, void, void> {
    for (;;) {
      for (let value = this.#values.shift(); value !== undefined; value = this.#values.shift()) yield value;
      if (this.#end === 'ended') return;
      if (this.#end !== 'open') throw this.#end.error;
      await new Promise<void>((resolve) => { this.#wake = resolve; });
    }
  }

  #notify(): void {
    this.#wake?.();
    this.#wake = null;
  }
}
