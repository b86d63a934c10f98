/** Which characters of a text each of its tokens stands for. */
import { z } from 'zod';
import { ModelError } from '../error.ts';

/** Token ids and, for each, the characters `[start, end)` it stands for, in UTF-16 units. Tokens that share a character all have it. */
export interface TokenizedText {
  readonly ids: Int32Array;
  readonly starts: Int32Array;
  readonly ends: Int32Array;
}

/** What the normalizer of `tokenizer.json` does to each stretch of text between added tokens. */
export interface Normalization {
  readonly isNfc: boolean;
  /** Spaces are written `▁`, so that a `▁` of the text is read as a space too. */
  readonly marksSpaces: boolean;
  /** Put before a stretch. */
  readonly prefix: string;
}

const step = z.discriminatedUnion('type', [
  z.object({ type: z.literal('NFC') }),
  z.object({ type: z.literal('Prepend'), prepend: z.string() }),
  z.object({ type: z.literal('Replace'), pattern: z.object({ String: z.literal(' ') }), content: z.literal('▁') }),
]);
const schema = z.union([z.null(), z.object({ type: z.literal('Sequence'), normalizers: z.array(step) }).transform(({ normalizers }) => normalizers), step.transform((one) => [one])]);

/** @throws ModelError `unsupported` for a normalizer whose characters can't be traced back */
export function parseNormalization(normalizer: unknown, source: string): Normalization {
  const parsed = schema.safeParse(normalizer ?? null);
  if (!parsed.success) throw new ModelError('unsupported', `${source}: not supported: offsets of tokens with the normalizer ${JSON.stringify(normalizer)?.slice(0, 200)}.`);
  const steps = parsed.data ?? [];
  const has = (type: string): boolean => steps.some((one) => one.type === type);
  return { isNfc: has('NFC'), marksSpaces: has('Replace'), prefix: steps.map((one) => (one.type === 'Prepend' ? one.prepend : '')).join('') };
}

/** A token as the text has it: an added one literally, another by the bytes it stands for (`▁` as a space). */
export type Written = { readonly added: string } | { readonly bytes: Uint8Array };

interface Character {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** A character and what composes with it: combining marks, Hangul vowels and finals. */
const cluster = /.[\p{M}\u1161-\u1175\u11a8-\u11c2]*/suy;
const utf8 = new TextEncoder();

/**
 * Follows the tokens of `text` through it, as the tokenizers library counts them: composed characters (NFC) stand where their first one stood,
 * a prefix where the character after it stands.
 * @throws ModelError `unsupported` where the tokens do not spell the text (unknown tokens, added tokens that swallow spaces)
 */
export function tokenOffsets(text: string, tokens: readonly Written[], { isNfc, marksSpaces, prefix }: Normalization): Pick<TokenizedText, 'starts' | 'ends'> {
  const starts = new Int32Array(tokens.length), ends = new Int32Array(tokens.length);
  /** Normalized characters that were read from the text and that no token, or only part of one, has taken. */
  let ahead: Character[] = [];
  let taken = 0, at = 0, isStretchStart = true;

  const written = (character: string): Uint8Array => utf8.encode(marksSpaces && character === '▁' ? ' ' : character);
  const read = (): void => {
    cluster.lastIndex = at;
    const [original = ''] = isNfc ? cluster.exec(text) ?? [] : [String.fromCodePoint(text.codePointAt(at) ?? 0)];
    const characters = composed(original, isNfc, at).map(({ text: character, ...place }) => ({ bytes: written(character), ...place }));
    at += original.length;
    const [first] = characters;
    if (isStretchStart && first) ahead.push(...Array.from(prefix, (character) => ({ ...first, bytes: written(character) })));
    isStretchStart = false;
    ahead.push(...characters);
  };

  for (const [i, token] of tokens.entries()) {
    if ('added' in token) {
      if (ahead.length > 0 || !text.startsWith(token.added, at)) throw lost(text, at);
      starts[i] = at;
      at += token.added.length;
      ends[i] = at;
      isStretchStart = true;
      continue;
    }
    for (const [k, byte] of token.bytes.entries()) {
      if (ahead.length === 0 && at < text.length) read();
      const [character] = ahead;
      if (character?.bytes[taken] !== byte) throw lost(text, at);
      if (k === 0) starts[i] = character.start;
      ends[i] = character.end;
      if (++taken < character.bytes.length) continue;
      taken = 0;
      ahead = ahead.slice(1);
    }
  }
  return { starts, ends };
}

/** The characters that `original`, at `at`, becomes, each where it stood. */
function composed(original: string, isNfc: boolean, at: number): { readonly text: string; readonly start: number; readonly end: number }[] {
  let start = at;
  const before = Array.from(original, (character) => ({ start, end: (start += character.length) }));
  const after = Array.from(isNfc ? original.normalize('NFC') : original);
  // The first character absorbs what composes; the marks that are left are the last ones.
  const absorbed = Math.max(0, before.length - after.length);
  return after.map((character, i) => ({ text: character, ...before[i === 0 ? 0 : Math.min(i + absorbed, before.length - 1)] ?? { start: at, end: at } }));
}

const lost = (text: string, at: number): ModelError =>
  new ModelError('unsupported', `The tokens do not spell the text from ${JSON.stringify(text.slice(at, at + 20))} on: their offsets are not known.`);
