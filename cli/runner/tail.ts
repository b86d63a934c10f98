/** Keeps the last bytes of a stream. */
export class Tail {
  readonly #maxBytes: number;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #wasCut = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    let first = this.#chunks[0];
    while (first && this.#bytes - first.length >= this.#maxBytes) {
      this.#chunks.shift();
      this.#wasCut = true;
      this.#bytes -= first.length;
      first = this.#chunks[0];
    }
  }

  /** UTF-8; a character that the cut went through is dropped. */
  text(): string {
    const all = Buffer.concat(this.#chunks);
    const tail = all.subarray(Math.max(0, all.length - this.#maxBytes));
    const isContinuation = (byte: number | undefined) => byte !== undefined && (byte & 0xc0) === 0x80;
    let start = 0;
    if (this.#wasCut || tail.length < all.length) while (start < 3 && isContinuation(tail[start])) start++;
    return tail.toString('utf8', start);
  }
}
