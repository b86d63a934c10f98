import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { UsageError } from '../../../cli/failure.ts';
import { splitWords } from '../../../cli/runner/words.ts';

test('words are split as a shell splits them', () => {
  const table: [string, string[]][] = [
    ['node reward.mjs', ['node', 'reward.mjs']],
    ['  node   -e "a b" \'c d\'  ', ['node', '-e', 'a b', 'c d']],
    ['a\\ b "say \\"hi\\"" \'don"t\'', ['a b', 'say "hi"', 'don"t']],
    ['--x="1 2"3', ['--x=1 23']],
    ['"" \'\'', ['', '']],
  ];
  for (const [text, words] of table) {
    assert.deepEqual(splitWords(text), words, text);
    const shell = execFileSync('/bin/sh', ['-c', `for w in ${text}; do printf '%s\\n' "$w"; done`], { encoding: 'utf8' });
    assert.deepEqual(shell.split('\n').slice(0, -1), words, `sh: ${text}`);
  }
});

test('quoted words come back as they were', () => {
  fc.assert(fc.property(fc.array(fc.string(), { minLength: 1 }), (words) => {
    const quoted = words.map((word) => `'${word.replaceAll('\'', '\'\\\'\'')}'`).join(' ');
    assert.deepEqual(splitWords(quoted), words);
  }));
});

test('an unclosed quote and an empty command are usage errors', () => {
  assert.throws(() => splitWords('node "a'), UsageError);
  assert.throws(() => splitWords('  '), UsageError);
});
