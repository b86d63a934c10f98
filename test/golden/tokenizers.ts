/** `tokenizers/`: ids, offsets and text as the `tokenizers` library has them. Everything is exact. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createTokenizer } from '../../model/tokenizer/create.ts';
import { tokenizerFromGguf } from '../../model/tokenizer/gguf.ts';
import type { Tokenizer } from '../../model/tokenizer.ts';
import { openGguf } from '../../model/weights/gguf.ts';
import { smollm2Path } from '../fixtures/smollm2/find.ts';
import { equal, Unavailable, type Check } from './check.ts';
import { codePointsBefore } from './code-points.ts';
import { readText } from './files.ts';

interface StoredString {
  readonly text: string;
  readonly ids: readonly number[];
  readonly ids_no_special: readonly number[];
  /** In code points. */
  readonly offsets_no_special: readonly (readonly [number, number])[];
  readonly ids_split_special: readonly number[];
  readonly decoded: string;
  readonly decoded_skip_special: string;
}

interface StoredTokenizer {
  readonly vocab_size: number;
  readonly bos: number | null;
  readonly eos: number | null;
  readonly strings: readonly StoredString[];
}

export function* tokenizers(set: string): Generator<Check> {
  const stored: { tokenizers: Record<string, StoredTokenizer> } = JSON.parse(readText(set, 'tokenizers/strings.json'));
  for (const [kind, { vocab_size: vocabSize, bos, eos, strings }] of Object.entries(stored.tokenizers)) {
    let opened: Tokenizer | null = null;
    const tokenizer = (): Tokenizer => (opened ??= openTokenizer(set, kind));
    const idOf = (token: string | null): number | null => (token === null ? null : tokenizer().tokenId(token) ?? null);
    yield { name: `${kind}: vocabulary`, run: () => equal([tokenizer().vocabSize, idOf(tokenizer().bosToken), idOf(tokenizer().eosToken)], [vocabSize, bos, eos], 'size, BOS and EOS') };
    for (const string of strings) yield { name: `${kind}: ${JSON.stringify(string.text)}`, run: () => compare(tokenizer(), string) };
  }
}

function compare(tokenizer: Tokenizer, expected: StoredString): number {
  const { text, ids_no_special: plain } = expected;
  equal([...tokenizer.encode(text)], plain, 'ids');
  equal([...tokenizer.encode(text, { addSpecialTokens: true })], expected.ids, 'ids with BOS and EOS');
  equal([...tokenizer.encode(text, { specialTokensInText: 'characters' })], expected.ids_split_special, 'ids with special tokens as characters');
  const { starts, ends } = tokenizer.encodeWithOffsets(text);
  const inCodePoints = codePointsBefore(text);
  equal(Array.from(starts, (start, i) => [inCodePoints(start), inCodePoints(ends[i] ?? NaN)]), expected.offsets_no_special, 'offsets');
  equal(tokenizer.decode(plain), expected.decoded, 'decoded text');
  return equal(tokenizer.decode(plain, { skipSpecialTokens: true }), expected.decoded_skip_special, 'decoded text without special tokens');
}

/** A set's tokenizer. `smollm2-135m` is in none of them: it is the one of that model's file. @throws Unavailable */
export function openTokenizer(set: string, kind: string): Tokenizer {
  const directory = join('tokenizers', kind);
  if (existsSync(join(set, directory))) {
    return createTokenizer(JSON.parse(readText(set, join(directory, 'tokenizer.json'))), JSON.parse(readText(set, join(directory, 'tokenizer_config.json'))), kind);
  }
  if (kind !== 'smollm2-135m') throw new Error(`the set has no ${directory}`);
  if (smollm2Path === null) throw new Unavailable('the tokenizer is not in the set, and SmolLM2 is not here: run `npm run smollm2`');
  const { metadata, weights } = openGguf(smollm2Path);
  weights.close();
  return tokenizerFromGguf(metadata, kind);
}
