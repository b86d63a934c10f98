/** Text ⇄ token ids. */
import type { TokenizedText } from './tokenizer/offsets.ts';

export interface EncodeOptions {
  /** Adds BOS/EOS as the tokenizer is configured; default false, because chat templates write their own. */
  readonly addSpecialTokens?: boolean;
  /** What `<|im_end|>` in the text is: the token, or ten characters like any others (text that must not steer the model). Default `tokens`. */
  readonly specialTokensInText?: 'tokens' | 'characters';
}

export interface Tokenizer {
  readonly vocabSize: number;
  readonly bosToken: string | null;
  readonly eosToken: string | null;
  encode(text: string, options?: EncodeOptions): Int32Array;
  /** `encode(text)`, and where each token stands in the text. @throws ModelError `unsupported` where that cannot be told */
  encodeWithOffsets(text: string): TokenizedText;
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
