/**
 * llama.cpp sends no event for a token that ends inside a character (server-context.cpp, process_token): the next one that ends a character brings the text of
 * all of them, and its own id alone. The bytes between say which tokens those were.
 */
import type { Tokenizer } from '../../../model/tokenizer.ts';

export interface HiddenTokens {
  readonly ids: readonly number[];
  /** There are no others that would have the same bytes. */
  readonly isCertain: boolean;
}

export class HiddenTokenFinder {
  readonly #tokenizer: Tokenizer;
  /** By their bytes, in hexadecimal; made when first needed. */
  #byBytes: ReadonlyMap<string, readonly number[]> | null = null;

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
  }

  /**
   * @param id the token that was sent
   * @param text of it and of those before it
   * @returns `count` tokens that make the text whole; no ids where there are none such
   */
  before(id: number, text: string, count: number): HiddenTokens {
    const whole = Buffer.from(text, 'utf8'), last = this.#tokenizer.tokenBytes(id);
    const [ids = [], ...others] = this.#cuts(whole.subarray(0, whole.length - last.length), count);
    return { ids, isCertain: ids.length === count && others.length === 0 };
  }

  /** All ways to cut the bytes into `count` tokens. A character has four bytes at most. */
  #cuts(bytes: Buffer, count: number): number[][] {
    if (count === 0) return bytes.length === 0 ? [[]] : [];
    const lengths = Array.from({ length: Math.max(0, bytes.length - count + 1) }, (_, i) => i + 1);
    return lengths.flatMap((length) => {
      const firsts = this.#ids().get(bytes.toString('hex', 0, length)) ?? [];
      const rests = firsts.length === 0 ? [] : this.#cuts(bytes.subarray(length), count - 1);
      return firsts.flatMap((first) => rests.map((rest) => [first, ...rest]));
    });
  }

  #ids(): ReadonlyMap<string, readonly number[]> {
    this.#byBytes ??= Map.groupBy(Array.from({ length: this.#tokenizer.vocabSize }, (_, id) => id), (id) => Buffer.from(this.#tokenizer.tokenBytes(id)).toString('hex'));
    return this.#byBytes;
  }
}
