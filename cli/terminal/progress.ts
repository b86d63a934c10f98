/** One line on stderr that says what is going on: rewritten in place on a terminal, now and then a new line elsewhere. */

export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const plainIntervalMs = 10_000;
const terminalIntervalMs = 80;

export class Progress {
  readonly #output: Output;
  readonly #now: () => number;
  #lastShown: number;
  #isOpen = false;

  constructor(output: Output = process.stderr, now: () => number = () => performance.now()) {
    this.#output = output;
    this.#now = now;
    this.#lastShown = this.#restart();
  }

  /** May be called as often as there is news. */
  update(text: string): void {
    const interval = this.#output.isTTY ? terminalIntervalMs : plainIntervalMs;
    if (this.#now() - this.#lastShown < interval) return;
    this.#lastShown = this.#now();
    if (!this.#output.isTTY) {
      this.#output.write(`${text}\n`);
      return;
    }
    this.#output.write(`\r\u001b[2K${text.slice(0, (this.#output.columns ?? 80) - 1)}`);
    this.#isOpen = true;
  }

  /** A line that stays. */
  line(text: string): void {
    this.#output.write(`${this.#isOpen ? '\r\u001b[2K' : ''}${text}\n`);
    this.#isOpen = false;
    this.#lastShown = this.#restart();
  }

  /** On a terminal the next news shows at once; elsewhere only when nothing was written for a while. */
  #restart(): number {
    return this.#output.isTTY ? -Infinity : this.#now();
  }

  /** Takes the moving line away. */
  clear(): void {
    if (this.#isOpen) this.#output.write('\r\u001b[2K');
    this.#isOpen = false;
  }
}
