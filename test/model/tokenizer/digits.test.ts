import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTokenizer } from '../../../model/tokenizer/create.ts';

/** A byte-level tokenizer with one merge over a digit-like character: space + ½ (bytes c2 bd). */
function tokenizer(individual: boolean): ReturnType<typeof createTokenizer> {
  const vocab = Object.fromEntries(['Ġ', 'Â', '½', 'x', '1', 'Â½', 'ĠÂ½', '11'].map((token, id) => [token, id]));
  const pre = { type: 'Sequence', pretokenizers: [{ type: 'Digits', individual_digits: individual }, { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }] };
  return createTokenizer(
    { added_tokens: [], normalizer: null, pre_tokenizer: pre, post_processor: null, decoder: { type: 'ByteLevel' }, model: { type: 'BPE', vocab, merges: [['Â', '½'], ['Ġ', 'Â½'], ['1', '1']] } },
    {},
    'digits',
  );
}

test('everything numeric is split off, not only ASCII digits', () => {
  assert.deepEqual([...tokenizer(true).encode('x ½')], [3, 0, 5]);
  assert.deepEqual([...tokenizer(true).encode('11')], [4, 4]);
  assert.deepEqual([...tokenizer(false).encode('11')], [7]);
});

test('characters that the vocabulary cannot write are left out', () => {
  assert.deepEqual([...tokenizer(true).encode('xyx')], [3, 3]);
});
