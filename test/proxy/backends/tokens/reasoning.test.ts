import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { reasoningReader } from '../../../../proxy/backends/tokens/reasoning.ts';

function read(pieces: readonly string[], isOpen = false) {
  const reader = reasoningReader(isOpen);
  const all = [...pieces.map((piece) => reader.push(piece)), reader.end()];
  return { reasoning: all.map(({ reasoning }) => reasoning).join(''), said: all.map(({ said }) => said).join('') };
}

const cases: readonly (readonly [what: string, text: string, isOpen: boolean, reasoning: string, said: string])[] = [
  ['thoughts, then the answer', '<think>\nHm.\n\nSo 3.\n</think>\n\nIt is 3.\n', false, 'Hm.\n\nSo 3.', 'It is 3.\n'],
  ['the prompt opened them', '\nHm.</think>3', true, 'Hm.', '3'],
  ['no thoughts', ' It is <think> 3.', false, '', ' It is <think> 3.'],
  ['empty thoughts', '<think>\n\n</think>\n\nYes', false, '', 'Yes'],
  ['cut off while thinking', '<think>Hm </thi', false, 'Hm </thi', ''],
  ['only the beginning of a tag', '<thi', false, '', '<thi'],
  ['a tag later is text', '<think>a</think>b</think><think>', false, 'a', 'b</think><think>'],
  ['nothing', '', false, '', ''],
];

for (const [what, text, isOpen, reasoning, said] of cases) {
  test(what, () => {
    assert.deepEqual(read([text], isOpen), { reasoning, said });
    assert.deepEqual(read(Array.from(text), isOpen), { reasoning, said });
  });
}

test('however the text is cut, the same is read', () => {
  const text = fc.array(fc.constantFrom('<think>', '</think>', '<th', 'ink>', '</', 'a', ' ', '\n', 'b c'), { maxLength: 8 }).map((parts) => parts.join(''));
  fc.assert(fc.property(text, fc.array(fc.nat(20)), fc.boolean(), (all, cuts, isOpen) => {
    const at = [0, ...cuts.filter((cut) => cut < all.length).sort((a, b) => a - b), all.length];
    const pieces = at.slice(1).map((end, i) => all.slice(at[i], end));
    assert.deepEqual(read(pieces, isOpen), read([all], isOpen), JSON.stringify([all, pieces]));
  }), { numRuns: 1000 });
});
