/** Text ⇄ token ids. */

export interface Tokenizer {
  readonly vocabSize: number;
  readonly bosToken: string | null;
  readonly eosToken: string | null;
  /** Special tokens in the text are always recognised; BOS/EOS are added only if asked (chat templates write their own). */
  encode(text: string, options?: { readonly addSpecialTokens?: boolean }): Int32Array;
  decode(ids: ArrayLike<number>, options?: { readonly skipSpecialTokens?: boolean }): string;
  /** The id of a token written exactly so, or undefined. */
  tokenId(token: string): number | undefined;
  isSpecial(id: number): boolean;
  /** The bytes that one token stands for (OpenAI `logprobs.content[].bytes`); may be an incomplete UTF-8 sequence. */
  tokenBytes(id: number): Uint8Array;
  /** Decodes a growing sequence: text comes out as soon as it is certain (never half a character). */
  stream(options?: { readonly skipSpecialTokens?: boolean }): TokenStream;
}

export interface TokenStream {
  push(id: number): string;
  /** What is still held back (an incomplete character becomes U+FFFD). */
  end(): string;
}
