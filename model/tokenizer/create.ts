/** A `Tokenizer` from the contents of `tokenizer.json` and `tokenizer_config.json`. */
import { Tokenizer as HubTokenizer } from '@huggingface/tokenizers';
import { z } from 'zod';
import { ModelError } from '../error.ts';
import type { EncodeOptions, Tokenizer } from '../tokenizer.ts';
import { bytesOfToken, parseDecoding } from './bytes.ts';
import { withUnicodeDigits } from './digits.ts';
import { parseNormalization, tokenOffsets } from './offsets.ts';
import { streamTokens } from './stream.ts';

const tokenizerSchema = z.looseObject({
  added_tokens: z.array(z.looseObject({ id: z.int().nonnegative(), content: z.string(), special: z.boolean().default(false) })).default([]),
  model: z.looseObject({ type: z.string().optional(), vocab: z.unknown() }),
  normalizer: z.unknown(),
  pre_tokenizer: z.unknown(),
  decoder: z.unknown(),
});

/** A token named in `tokenizer_config.json`: its text, or an object with it. */
const namedToken = z.union([z.string(), z.looseObject({ content: z.string() }).transform((token) => token.content)]).nullish();

const configSchema = z.looseObject({ bos_token: namedToken, eos_token: namedToken, pad_token: namedToken, unk_token: namedToken });

/**
 * Encoding is `@huggingface/tokenizers`'. Decoding is our own, by bytes, so that whole text, streamed text and `tokenBytes` cannot
 * disagree: no clean-up of spaces before punctuation, byte-order marks kept, broken UTF-8 becomes U+FFFD as in every WHATWG decoder
 * (the Python library's byte-fallback decoder replaces the good bytes beside a broken one too).
 *
 * @param source names the files in errors
 * @throws ModelError `corrupt`, `unsupported` (a model that is not BPE, an unknown decoder)
 */
export function createTokenizer(json: unknown, config: unknown, source: string): Tokenizer {
  const parsed = tokenizerSchema.safeParse(json);
  const named = configSchema.safeParse(config ?? {});
  if (!parsed.success || !named.success) {
    const issue = (parsed.error ?? named.error)?.issues[0];
    throw new ModelError('corrupt', `${source}: the tokenizer's ${issue?.path.join('.') || 'file'} is not valid (${issue?.message ?? 'unreadable'}).`);
  }
  const { added_tokens: added, model, decoder, normalizer } = parsed.data;
  // Files from before 2021 have no type; they are told apart by their parts.
  if (model.type !== 'BPE' && !(model.type === undefined && 'merges' in model)) throw new ModelError('unsupported', `${source}: not supported: a tokenizer of type ${model.type} (BPE is).`);
  const decoding = parseDecoding(decoder, source);
  const open = (addedTokens: typeof added): HubTokenizer =>
    createHubTokenizer({ ...parsed.data, added_tokens: addedTokens, pre_tokenizer: withUnicodeDigits(parsed.data.pre_tokenizer) }, named.data, source);
  const hub = open(added);
  const encoders = new Map([['tokens', hub]]);
  /** The one that knows no special tokens is opened when first asked for: most never meet text that is not to be believed. */
  const encoderFor = (specials: 'tokens' | 'characters'): HubTokenizer => {
    const encoder = encoders.get(specials) ?? open(added.filter((token) => !token.special));
    encoders.set(specials, encoder);
    return encoder;
  };

  const vocabulary = model.vocab as Record<string, number>; // of a BPE model that the library has just read
  const tokens: (string | undefined)[] = [];
  for (const [token, id] of Object.entries(vocabulary)) tokens[id] = token;
  const addedIds = new Set<number>();
  for (const token of added) {
    tokens[token.id] = token.content;
    addedIds.add(token.id);
  }

  const { bos_token: bos, eos_token: eos, pad_token: pad, unk_token: unk } = named.data;
  const specialIds = new Set(added.filter((token) => token.special).map((token) => token.id));
  for (const token of [bos, eos, pad, unk]) {
    const id = token === null || token === undefined ? undefined : hub.token_to_id(token);
    if (id !== undefined) specialIds.add(id);
  }

  const bytes: (Uint8Array | undefined)[] = [];
  const nothing = new Uint8Array();
  const tokenBytes = (id: number): Uint8Array => {
    const token = tokens[id];
    return token === undefined ? nothing : (bytes[id] ??= bytesOfToken(token, addedIds.has(id), decoding));
  };
  const stream: Tokenizer['stream'] = ({ skipSpecialTokens = false } = {}) =>
    streamTokens((id) => (skipSpecialTokens && specialIds.has(id) ? nothing : tokenBytes(id)), decoding.kind === 'sentencepiece' ? decoding.stripLeading : 0);

  const encode = (text: string, { addSpecialTokens = false, specialTokensInText = 'tokens' }: EncodeOptions = {}): Int32Array => {
    // A character that a vocabulary without unknown token cannot write has no id, and is left out as in the Python library.
    const ids: (number | undefined)[] = encoderFor(specialTokensInText).encode(text, { add_special_tokens: addSpecialTokens }).ids;
    return Int32Array.from(ids.filter((id) => id !== undefined));
  };

  return {
    vocabSize: tokens.length,
    bosToken: bos ?? null,
    eosToken: eos ?? null,
    encode,
    encodeWithOffsets(text) {
      const ids = encode(text);
      const written = Array.from(ids, (id) => (addedIds.has(id) ? { added: tokens[id] ?? '' } : { bytes: tokenBytes(id) }));
      return { ids, ...tokenOffsets(text, written, parseNormalization(normalizer, source)) };
    },
    decode(ids, options) {
      const decoder = stream(options);
      let text = '';
      for (let i = 0; i < ids.length; i++) text += decoder.push(ids[i]!);
      return text + decoder.end();
    },
    tokenId: (token) => hub.token_to_id(token),
    isSpecial: (id) => specialIds.has(id),
    tokenBytes,
    stream,
  };
}

function createHubTokenizer(json: object, config: object, source: string): HubTokenizer {
  try {
    return new HubTokenizer(json, config);
  } catch (error) {
    throw new ModelError('unsupported', `${source}: the tokenizer cannot be used (${error instanceof Error ? error.message : String(error)}).`, { cause: error });
  }
}
