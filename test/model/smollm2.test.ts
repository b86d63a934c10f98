/** The real model, read from its GGUF file, against what transformers says of it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { openModel, openText } from '../../model/open.ts';
import { skipWithoutSmollm2, smollm2Path } from '../fixtures/smollm2/find.ts';

const readJson = (file: string): unknown => JSON.parse(readFileSync(new URL(`../fixtures/smollm2/${file}`, import.meta.url), 'utf8'));

interface Greedy {
  cases: { kind: 'plain' | 'chat'; prompt: string; rendered: string; prompt_ids: number[]; output_ids: number[]; output_text: string }[];
}
interface Strings {
  tokenizers: { 'smollm2-135m': { strings: { text: string; ids: number[]; ids_no_special: number[]; decoded: string; decoded_skip_special: string }[] } };
}

test('prompts render to the same text and ids, outputs to the same text', { skip: skipWithoutSmollm2 }, () => {
  const { tokenizer, chatTemplate } = openText(smollm2Path ?? '');
  assert.equal(chatTemplate.usesTools, false);
  const { cases } = readJson('greedy.json') as Greedy;
  assert.equal(cases.length, 6);
  for (const { kind, prompt, rendered, prompt_ids: ids, output_ids: output, output_text: text } of cases) {
    const prompted = kind === 'chat' ? chatTemplate.render({ messages: [{ role: 'user', content: prompt }], addGenerationPrompt: true }) : prompt;
    assert.equal(prompted, rendered);
    assert.deepEqual([...tokenizer.encode(prompted)], ids);
    assert.equal(tokenizer.decode(output), text);
  }
});

test('awkward strings have the ids that transformers gives them', { skip: skipWithoutSmollm2 }, () => {
  const { tokenizer } = openText(smollm2Path ?? '');
  const { strings } = (readJson('strings.json') as Strings).tokenizers['smollm2-135m'];
  assert.equal(strings.length, 41);
  for (const { text, ids, ids_no_special: plain, decoded, decoded_skip_special: skipped } of strings) {
    assert.deepEqual([...tokenizer.encode(text)], plain, JSON.stringify(text));
    assert.deepEqual([...tokenizer.encode(text, { addSpecialTokens: true })], ids, JSON.stringify(text));
    assert.equal(tokenizer.decode(plain), decoded);
    assert.equal(tokenizer.decode(plain, { skipSpecialTokens: true }), skipped);
  }
});

test('configuration, fingerprint and dequantized weights', { skip: skipWithoutSmollm2 }, async () => {
  const model = await openModel(smollm2Path ?? '');
  try {
    assert.deepEqual(model.config, {
      architecture: 'llama', vocabSize: 49152, hiddenSize: 576, intermediateSize: 1536, layers: 30, heads: 9, kvHeads: 3, headDim: 64, rmsNormEps: 1e-5,
      rope: { type: 'default', theta: 100000 }, sliding: null, attentionScale: 0.125, tieWordEmbeddings: true, maxPositions: 8192, bosTokenId: 1, eosTokenIds: [2], padTokenId: 2,
    });
    assert.equal(model.fingerprint, 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53');
    const hash = createHash('sha256');
    for (const name of model.weights.names().toSorted()) hash.update(model.weights.read(name).data);
    assert.equal(hash.digest('hex'), '1e7c8a1c726e693f3ef812fec44c0efdf79020fe1e36d5cd8a07e0341da3e3aa', 'all tensors as the Python gguf package reads them, by name');
  } finally {
    model.weights.close();
  }
});
