import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { createTokenizer } from '../../../model/tokenizer/create.ts';

const fixtures = new URL('../../fixtures/golden/tokenizers/', import.meta.url);
const readJson = (path: string): unknown => JSON.parse(readFileSync(new URL(path, fixtures), 'utf8'));

for (const kind of ['gpt2-digits', 'llama2-spm', 'gemma-spm']) {
  const tokenizer = createTokenizer(readJson(`${kind}/tokenizer.json`), readJson(`${kind}/tokenizer_config.json`), kind);

  test(`${kind}: streamed text equals the whole decoding, for any ids`, () => {
    fc.assert(
      fc.property(fc.array(fc.nat(tokenizer.vocabSize - 1)), fc.boolean(), (ids, skipSpecialTokens) => {
        const stream = tokenizer.stream({ skipSpecialTokens });
        const streamed = ids.map((id) => stream.push(id)).join('') + stream.end();
        const kept = ids.filter((id) => !(skipSpecialTokens && tokenizer.isSpecial(id)));
        const bytes = Buffer.concat(kept.map((id) => tokenizer.tokenBytes(id)));
        const whole = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
        assert.equal(streamed, kind === 'llama2-spm' && whole.startsWith(' ') ? whole.slice(1) : whole);
        assert.equal(tokenizer.decode(ids, { skipSpecialTokens }), streamed);
      }),
      { numRuns: 300 },
    );
  });

  test(`${kind}: a byte-order mark is text, also at the start`, () => {
    assert.equal(tokenizer.decode(tokenizer.encode('\uFEFFx')), '\uFEFFx');
  });

  test(`${kind}: no piece of real text holds half a character`, () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 30 }).filter((text) => !text.includes('▁') && !text.includes('\uFFFD')), (text) => {
        const stream = tokenizer.stream();
        const pieces = [...tokenizer.encode(text)].map((id) => stream.push(id));
        pieces.push(stream.end());
        assert.equal(pieces.join(''), text);
        for (const piece of pieces) assert.ok(piece.isWellFormed() && !piece.includes('\uFFFD'));
      }),
      { numRuns: 300 },
    );
  });
}
