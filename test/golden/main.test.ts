/** A set that is not right, or that holds what nobody here knows, must not pass. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempDisposableSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { close, equal, Mismatch, Unavailable, type Check } from './check.ts';
import { groups } from './groups.ts';
import { runGroup } from './run.ts';

const set = fileURLToPath(new URL('../fixtures/golden/', import.meta.url));

/** A copy of one folder of the set with a JSON file changed. */
function changed(folder: string, file: string, change: (text: string) => string): { readonly path: string } & Disposable {
  const copy = mkdtempDisposableSync(join(tmpdir(), 'golden-'));
  mkdirSync(join(copy.path, folder), { recursive: true });
  cpSync(join(set, folder), join(copy.path, folder), { recursive: true });
  const path = join(copy.path, folder, file);
  const text = readFileSync(path, 'utf8');
  assert.notEqual(change(text), text);
  writeFileSync(path, change(text));
  return Object.assign(copy, { [Symbol.dispose]: () => { copy.remove(); } });
}

const rename = (from: string | RegExp, to: string) => (text: string): string => text.replace(from, to);
const wrong: readonly (readonly [folder: string, file: string, change: (text: string) => string, failure: RegExp])[] = [
  ['losses', 'losses.json', rename('"log_ratio_clamp": 20.0', '"log_ratio_clamp": 0.01'), /off by/],
  ['losses', 'losses.json', rename('"log_ratio_clamp"', '"log_ratio_bend"'), /nothing here is called log_ratio_bend/],
  ['advantages', 'advantages.json', rename('"even/rloo"', '"even/mystery"'), /no estimator "mystery"/],
  ['credit', 'credit.json', rename('"sample_level.nostd"', '"guessed"'), /knows no such credit/],
  ['credit', 'credit.json', rename(/"reward": -?/, '"reward": 1'), /is .*, not .*: off by/],
  ['sampling', 'sampling.json', rename('"top_k": 5', '"top_k": 6'), /off by/],
  ['sampling', 'sampling.json', rename('"top_k"', '"top_h"'), /no sampling setting top_h/],
  ['optim', 'optim.json', rename('"schedule": "linear"', '"schedule": "staircase"'), /no schedule "staircase"/],
  ['optim', 'optim.json', rename('0.999', '0.998'), /off by/],
  ['models/qwen2', 'golden.json', rename(/"value": -?/, '"value": 1'), /qwen2: base loss: loss\[0\] is/],
  ['models/gemma3-text', 'config.json', rename('"sliding_window": 6', '"sliding_window": 7'), /gemma3-text: base logits: .*off by/],
  ['models/llama-tied', 'config.json', rename('"llama"', '"camel"'), /llama-tied: the model: .*camel/],
  ['tokenizers', 'strings.json', rename('"offsets_no_special":[[0,1]', '"offsets_no_special":[[0,2]'), /offsets is/],
  ['chat', 'chat.json', rename('"date_string":"26', '"date_string":"27'), /text is/],
];
for (const [folder, file, change, failure] of wrong) {
  test(`${folder} fails: ${failure.source}`, async () => {
    using copy = changed(folder, file, change);
    const [group = ''] = folder.split('/');
    if (group === 'chat') cpSync(join(set, 'tokenizers'), join(copy.path, 'tokenizers'), { recursive: true });
    if (group === 'optim') cpSync(join(set, 'models'), join(copy.path, 'models'), { recursive: true });
    const { failures } = await runGroup(group, groups[group] ?? assert.fail(), copy.path);
    assert.match(failures.join('\n'), failure);
  });
}

test('a report counts what passed, failed and was skipped, and knows the worst error', async () => {
  const checks: Check[] = [
    { name: 'near', run: () => close([1, Infinity], [1.5, Infinity], { absolute: 1 }, 'x') },
    { name: 'equal', run: () => equal({ a: [1] }, { a: [1] }, 'x') },
    { name: 'far', run: () => close([1, 2], [1, 4], { absolute: 1 }, 'x') },
    { name: 'absent', run: () => { throw new Unavailable('not here'); } },
    { name: 'broken', run: () => Promise.reject(new Error('two\nlines')) },
  ];
  assert.deepEqual(await runGroup('g', () => checks, ''), {
    group: 'g', passed: 2, skipped: new Map([['not here', 1]]), worst: { share: 2, check: 'far' },
    failures: ['far: x[1] is 2, not 4: off by 2.00, 1.00 is allowed', 'broken: two lines'],
  });
  assert.throws(() => close([NaN], [1], { absolute: 1 }, 'x'), Mismatch);
  assert.throws(() => close([1], [1, 2], { absolute: 9 }, 'x'), /1 numbers for 2/);
  assert.throws(() => close([1], [-Infinity], { absolute: 9 }, 'x'), Mismatch);
  assert.deepEqual((await runGroup('g', () => [], '')).failures, ['the set has no cases']);
});

test('the command prints a line per group and per failure, the sum, and fails', () => {
  using copy = changed('credit', 'credit.json', rename('"sample_level.nostd"', '"guessed"'));
  const { stdout, status } = spawnSync(process.execPath, [fileURLToPath(new URL('main.ts', import.meta.url)), copy.path], { encoding: 'utf8' });
  assert.match(stdout, /^credit +14 passed +1 failed/m);
  assert.match(stdout, /^ {2}FAILED guessed: this project knows no such credit$/m);
  assert.match(stdout, /^models +0 passed +1 failed[^\n]*\n {2}FAILED the files cannot be read: /m);
  assert.match(stdout, /\n14 passed, 8 failed\n$/);
  assert.equal(status, 1);
});
