/**
 * A byte-level BPE tokenizer learned from a corpus (Sennrich et al., arXiv 1508.07909), as a Hugging Face `tokenizer.json`.
 * Digits stand alone, so that a number is read and copied digit by digit.
 */

/** GPT-2's printable stand-ins for the 256 bytes. */
function byteAlphabet(): string[] {
  const printable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
}

const words = /'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

type Word = { symbols: string[]; count: number };

function countWords(corpus: readonly string[], added: readonly string[]): Word[] {
  const alphabet = byteAlphabet();
  const escaped = added.map((token) => token.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
  const counts = new Map<string, number>();
  for (const text of corpus) {
    for (const part of text.split(new RegExp(escaped.join('|'), 'g')).flatMap((piece) => piece.split(/(\p{N})/u))) {
      for (const [word] of part.matchAll(words)) counts.set(word, (counts.get(word) ?? 0) + 1);
    }
  }
  return [...counts].map(([word, count]) => ({ symbols: [...Buffer.from(word)].map((byte) => alphabet[byte] ?? ''), count }));
}

/** The most frequent neighbouring pair; ties go to the pair that sorts first, so that the result depends on the corpus alone. */
function bestPair(vocabulary: readonly Word[]): readonly [string, string] | undefined {
  const counts = new Map<string, number>();
  for (const { symbols, count } of vocabulary) {
    for (let i = 0; i + 1 < symbols.length; i++) {
      const pair = `${symbols[i]} ${symbols[i + 1]}`;
      counts.set(pair, (counts.get(pair) ?? 0) + count);
    }
  }
  let best: string | undefined, most = 1;
  for (const [pair, count] of counts) {
    if (count > most || (count === most && best !== undefined && pair < best)) { best = pair; most = count; }
  }
  const [left, right] = best?.split(' ') ?? [];
  return left === undefined || right === undefined ? undefined : [left, right];
}

function merge(word: Word, [left, right]: readonly [string, string]): void {
  for (let i = 0; i + 1 < word.symbols.length; i++) {
    if (word.symbols[i] === left && word.symbols[i + 1] === right) word.symbols.splice(i, 2, left + right);
  }
}

export interface AddedToken { readonly content: string; readonly special: boolean }

/** @returns the content of `tokenizer.json`: added tokens first, then the 256 bytes, then merges up to `vocabSize`. */
export function learnTokenizer(corpus: readonly string[], added: readonly AddedToken[], vocabSize: number): object {
  const vocabulary = countWords(corpus, added.map(({ content }) => content));
  const tokens = [...added.map(({ content }) => content), ...byteAlphabet()];
  const merges: (readonly [string, string])[] = [];
  while (tokens.length < vocabSize) {
    const pair = bestPair(vocabulary);
    if (pair === undefined) break;
    for (const word of vocabulary) merge(word, pair);
    merges.push(pair);
    tokens.push(pair.join(''));
  }
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added.map(({ content, special }, id) => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special })),
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Digits', individual_digits: true },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
      ],
    },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null,
      fuse_unk: false, byte_fallback: false, ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
}
