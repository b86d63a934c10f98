/** Ids and text as transformers makes them, for every kind of tokenizer. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { createTokenizer } from '../../../model/tokenizer/create.ts';
import type { Tokenizer } from '../../../model/tokenizer.ts';

const fixtures = new URL('../../fixtures/golden/tokenizers/', import.meta.url);
const readJson = (path: string): unknown => JSON.parse(readFileSync(new URL(path, fixtures), 'utf8'));

interface GoldenString {
  text: string;
  ids: number[];
  ids_no_special: number[];
  decoded: string;
  decoded_skip_special: string;
}
const golden = readJson('strings.json') as { tokenizers: Record<string, { strings: GoldenString[] }> };

function open(kind: string): Tokenizer {
  return createTokenizer(readJson(`${kind}/tokenizer.json`), readJson(`${kind}/tokenizer_config.json`), kind);
}

for (const [kind, { strings }] of Object.entries(golden.tokenizers)) {
  test(`${kind}: ids and decoded text equal transformers'`, () => {
    assert.equal(strings.length, 41);
    const tokenizer = open(kind);
    for (const { text, ids, ids_no_special: plain, decoded, decoded_skip_special: skipped } of strings) {
      assert.deepEqual([...tokenizer.encode(text)], plain, `encode ${JSON.stringify(text)}`);
      assert.deepEqual([...tokenizer.encode(text, { addSpecialTokens: true })], ids, `encode with BOS ${JSON.stringify(text)}`);
      assert.equal(tokenizer.decode(plain), decoded);
      assert.equal(tokenizer.decode(plain, { skipSpecialTokens: true }), skipped);
    }
  });
}

test('special tokens are known by name, id and bytes', () => {
  const tokenizer = open('qwen');
  const end = tokenizer.tokenId('<|im_end|>');
  assert.ok(end !== undefined);
  assert.equal(tokenizer.eosToken, '<|im_end|>');
  assert.equal(tokenizer.bosToken, null);
  assert.equal(tokenizer.isSpecial(end), true);
  assert.equal(tokenizer.isSpecial(tokenizer.tokenId('<tool_call>') ?? -1), false, 'added, but not special');
  assert.deepEqual(tokenizer.tokenBytes(end), new TextEncoder().encode('<|im_end|>'));
  assert.equal(tokenizer.tokenId('no such token'), undefined);
  assert.equal(tokenizer.vocabSize, 646);
});

test('a byte-level token may be half a character', () => {
  const tokenizer = open('gpt2-digits');
  const ids = tokenizer.encode('日');
  assert.ok(ids.length > 1);
  assert.deepEqual(Buffer.concat([...ids].map((id) => tokenizer.tokenBytes(id))), Buffer.from('日'));
});

test('SentencePiece tokens: ▁ is a space, <0x0A> a byte', () => {
  const tokenizer = open('llama2-spm');
  assert.deepEqual(tokenizer.tokenBytes(tokenizer.tokenId('▁t') ?? -1), new TextEncoder().encode(' t'));
  assert.deepEqual(tokenizer.tokenBytes(tokenizer.tokenId('<0x0A>') ?? -1), Uint8Array.of(10));
});

test('an id beyond the vocabulary (a padded embedding) decodes to nothing', () => {
  const tokenizer = open('llama3');
  assert.equal(tokenizer.decode([tokenizer.vocabSize + 5]), '');
});

test('what cannot be decoded exactly is refused by name', () => {
  const json = readJson('llama3/tokenizer.json') as Record<string, unknown>;
  const refused = (change: Record<string, unknown>, pattern: RegExp): void =>
    assert.throws(() => createTokenizer({ ...json, ...change }, {}, 'm'), { name: 'ModelError', code: 'unsupported', message: pattern });
  refused({ decoder: { type: 'WordPiece', prefix: '##' } }, /decoder .*WordPiece/);
  refused({ model: { type: 'Unigram', vocab: [] } }, /Unigram/);
});
