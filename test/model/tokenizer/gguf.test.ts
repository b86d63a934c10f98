/** The golden tokenizers, put into GGUF metadata as llama.cpp's converter does, and read back. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { tokenizerFromGguf } from '../../../model/tokenizer/gguf.ts';
import type { GgufValue } from '../../../model/weights/gguf/header.ts';

const fixtures = new URL('../../fixtures/golden/tokenizers/', import.meta.url);
const readJson = (path: string): unknown => JSON.parse(readFileSync(new URL(path, fixtures), 'utf8'));

interface GoldenString {
  text: string;
  ids: number[];
  ids_no_special: number[];
  decoded: string;
}
interface HubFile {
  added_tokens: { id: number; content: string; special: boolean }[];
  model: { vocab: Record<string, number>; merges: [string, string][] };
}
const golden = readJson('strings.json') as { tokenizers: Record<string, { strings: GoldenString[] }> };

function ggufMetadata(kind: string, extra: Record<string, GgufValue>): Map<string, GgufValue> {
  const hub = readJson(`${kind}/tokenizer.json`) as HubFile;
  const config = readJson(`${kind}/tokenizer_config.json`) as Record<string, string>;
  const tokens: string[] = [];
  for (const [token, id] of Object.entries(hub.model.vocab)) tokens[id] = token;
  for (const { id, content } of hub.added_tokens) tokens[id] = content;
  const types = tokens.map(() => 1);
  for (const { id, special } of hub.added_tokens) types[id] = special ? 3 : 4;
  const metadata: Record<string, GgufValue> = { tokens, token_type: types, ...extra };
  const names = { bos_token: 'bos_token_id', eos_token: 'eos_token_id', unk_token: 'unknown_token_id' };
  for (const [key, name] of Object.entries(names)) {
    const id = tokens.indexOf(config[key] ?? '');
    if (id >= 0) metadata[name] = id;
  }
  if (extra['model'] === 'gpt2') metadata['merges'] = hub.model.merges.map((merge) => merge.join(' '));
  return new Map(Object.entries(metadata).map(([key, value]) => [`tokenizer.ggml.${key}`, value]));
}

const vocabularySize = Object.keys((readJson('llama2-spm/tokenizer.json') as HubFile).model.vocab).length;
const cases: Record<string, Record<string, GgufValue>> = {
  'gpt2-digits': { model: 'gpt2', pre: 'smollm' },
  llama3: { model: 'gpt2', pre: 'llama-bpe' },
  qwen: { model: 'gpt2', pre: 'qwen2' },
  // Trained pieces are numbered in the order of their merges, so minus the id orders like SentencePiece's score.
  'llama2-spm': { model: 'llama', scores: Array.from({ length: vocabularySize }, (_, id) => -id) },
};

for (const [kind, extra] of Object.entries(cases)) {
  test(`${kind} from GGUF metadata gives the same ids and text`, () => {
    const tokenizer = tokenizerFromGguf(ggufMetadata(kind, extra), kind);
    for (const { text, ids, ids_no_special: plain, decoded } of golden.tokenizers[kind]?.strings ?? assert.fail()) {
      assert.deepEqual([...tokenizer.encode(text)], plain, JSON.stringify(text));
      assert.deepEqual([...tokenizer.encode(text, { addSpecialTokens: true })], ids, JSON.stringify(text));
      assert.equal(tokenizer.decode(plain), decoded);
    }
  });
}

test('Llama 3 takes whole words that are tokens, whatever the merges give', () => {
  const encode = (pre: string): number[] => {
    const values: Record<string, GgufValue> = { model: 'gpt2', pre, tokens: ['a', 'b', 'c', 'ab', 'abc'], merges: ['a b'] };
    return [...tokenizerFromGguf(new Map(Object.entries(values).map(([key, value]) => [`tokenizer.ggml.${key}`, value])), 'm').encode('abc')];
  };
  assert.deepEqual(encode('llama-bpe'), [4]);
  assert.deepEqual(encode('smollm'), [3, 2]);
});

test('unknown kinds are refused by name', () => {
  const refused = (extra: Record<string, GgufValue>, message: RegExp): void =>
    assert.throws(() => tokenizerFromGguf(ggufMetadata('gpt2-digits', extra), 'm.gguf'), { name: 'ModelError', code: 'unsupported', message });
  refused({ model: 'gpt2', pre: 'deepseek-llm' }, /pre-tokenizer "deepseek-llm"/);
  refused({ model: 'gpt2' }, /pre-tokenizer "default"/);
  refused({ model: 'bert' }, /tokenizer model "bert"/);
});
