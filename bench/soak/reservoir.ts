/** Some of all that came, each as likely as any other, in memory that does not grow (Vitter, "Random sampling with a reservoir", 1985, algorithm R). */
export class Reservoir<T> {
  readonly #size: number;
  /** Uniform in [0, 1). */
  readonly #random: () => number;
  readonly #kept: T[] = [];
  #came = 0;

  constructor(size: number, random: () => number) {
    this.#size = size;
    this.#random = random;
  }

  get kept(): readonly T[] {
    return this.#kept;
  }

  add(item: T): void {
    const place = this.#came < this.#size ? this.#came : Math.floor(this.#random() * (this.#came + 1));
    if (place < this.#size) this.#kept[place] = item;
    this.#came++;
  }
}
