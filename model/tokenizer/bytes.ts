/** Which bytes a vocabulary entry stands for, as told by the `decoder` of `tokenizer.json`. */
import { z } from 'zod';
import { ModelError } from '../error.ts';

/** How tokens become text. */
export type Decoding =
  /** GPT-2's alphabet: every byte is written as one printable character (openai/gpt-2 `encoder.py`, `bytes_to_unicode`). */
  | { readonly kind: 'byte-level' }
  /** SentencePiece: `▁` is a space, `<0x41>` a byte; the decoded text loses up to `stripLeading` spaces at its start. */
  | { readonly kind: 'sentencepiece'; readonly stripLeading: number };

const stepSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('ByteLevel') }),
  z.object({ type: z.literal('ByteFallback') }),
  z.object({ type: z.literal('Fuse') }),
  z.object({ type: z.literal('Replace'), pattern: z.object({ String: z.literal('▁') }), content: z.literal(' ') }),
  z.object({ type: z.literal('Metaspace'), replacement: z.literal('▁'), prepend_scheme: z.string().optional(), add_prefix_space: z.boolean().optional() }),
  z.object({ type: z.literal('Strip'), content: z.literal(' '), start: z.int().nonnegative(), stop: z.literal(0) }),
]);

const decoderSchema = z.union([z.object({ type: z.literal('Sequence'), decoders: z.array(stepSchema) }).transform((sequence) => sequence.decoders), stepSchema.transform((step) => [step])]);

/** @throws ModelError `unsupported` for a decoder that is neither byte-level nor SentencePiece */
export function parseDecoding(decoder: unknown, source: string): Decoding {
  const parsed = decoderSchema.safeParse(decoder);
  if (!parsed.success) throw new ModelError('unsupported', `${source}: not supported: the tokenizer decoder ${JSON.stringify(decoder)?.slice(0, 200)} (byte-level and SentencePiece decoders are).`);
  if (parsed.data.some((step) => step.type === 'ByteLevel')) return { kind: 'byte-level' };
  let stripLeading = 0;
  for (const step of parsed.data) {
    if (step.type === 'Strip') stripLeading += step.start;
    if (step.type === 'Metaspace' && step.prepend_scheme !== 'never' && step.add_prefix_space !== false) stripLeading += 1;
  }
  return { kind: 'sentencepiece', stripLeading };
}

const utf8 = new TextEncoder();

/** `isAdded`: added tokens (`<|im_end|>`) are text as it stands, not written in the byte alphabet. */
export function bytesOfToken(token: string, isAdded: boolean, decoding: Decoding): Uint8Array {
  if (decoding.kind === 'sentencepiece') {
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1];
    return byte === undefined ? utf8.encode(token.replaceAll('▁', ' ')) : Uint8Array.of(Number.parseInt(byte, 16));
  }
  if (isAdded) return utf8.encode(token);
  const bytes = Array.from(token, (character) => BYTE_OF_CHARACTER.get(character));
  return bytes.every((byte) => byte !== undefined) ? Uint8Array.from(bytes) : utf8.encode(token);
}

/** Printable Latin-1 characters stand for themselves, the other 68 bytes for U+0100 onwards, in order. */
const BYTE_OF_CHARACTER: ReadonlyMap<string, number> = new Map(byteAlphabet());

function* byteAlphabet(): Generator<[string, number]> {
  let next = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    const isPrintable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    yield [String.fromCodePoint(isPrintable ? byte : next++), byte];
  }
}
