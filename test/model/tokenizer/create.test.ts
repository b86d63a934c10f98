/** Ids, offsets and text of every kind of tokenizer are compared with transformers' in test/golden/tokenizers.ts. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { createTokenizer } from '../../../model/tokenizer/create.ts';
import type { Tokenizer } from '../../../model/tokenizer.ts';

const fixtures = new URL('../../fixtures/golden/tokenizers/', import.meta.url);
const readJson = (path: string): unknown => JSON.parse(readFileSync(new URL(path, fixtures), 'utf8'));

function open(kind: string): Tokenizer {
  return createTokenizer(readJson(`${kind}/tokenizer.json`), readJson(`${kind}/tokenizer_config.json`), kind);
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

test('offsets: NFC composes where its first character stood, a prefix stands with the character after it', () => {
  const spans = (kind: string, text: string): string[] => {
    const { starts, ends } = open(kind).encodeWithOffsets(text);
    return Array.from(starts, (start, i) => text.slice(start, ends[i]));
  };
  assert.deepEqual(spans('qwen', 'e\u0301<|im_end|>👍'), ['e', 'e', '<|im_end|>', '👍', '👍', '👍']);
  assert.deepEqual(spans('qwen', '\u1112\u1161\u11abx'), ['\u1112', '\u1112', '\u1112', 'x'], 'Hangul letters compose too');
  assert.deepEqual(spans('llama2-spm', ' a</s>b'), [' ', ' a', '</s>', 'b']);
});

test('offsets that cannot be told are refused', () => {
  const json = readJson('qwen/tokenizer.json') as Record<string, unknown>;
  const refused = (change: Record<string, unknown>, text: string, message: RegExp): void =>
    assert.throws(() => createTokenizer({ ...json, ...change }, {}, 'm').encodeWithOffsets(text), { name: 'ModelError', code: 'unsupported', message });
  refused({ normalizer: { type: 'Lowercase' } }, 'a', /offsets of tokens with the normalizer .*Lowercase/);
  const added = [{ id: 2, content: '<|im_end|>', special: true, lstrip: true }];
  refused({ added_tokens: added }, 'a  <|im_end|>', /do not spell the text from "  <\|im_end\|>" on/);
});
