import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { freshDirectory } from '../../../cli/demo/directory.ts';

const root = mkdtempSync(join(tmpdir(), 'fulgurite-demo-'));
after(() => rmSync(root, { recursive: true }));

test('a new directory, and then an earlier demo\'s, is empty but for the mark', () => {
  const directory = join(root, 'a', 'demo');
  freshDirectory(directory);
  writeFileSync(join(directory, 'fulgurite.db'), 'old');
  freshDirectory(directory);
  assert.deepEqual(readdirSync(directory), ['.fulgurite-demo']);
});

test('somebody else\'s directory is not touched', () => {
  const directory = join(root, 'precious');
  mkdirSync(directory);
  writeFileSync(join(directory, 'thesis.txt'), 'x');
  assert.throws(() => freshDirectory(directory), { name: 'UsageError', message: /was not made by the demo/ });
  assert.ok(existsSync(join(directory, 'thesis.txt')));
});

test('a demo that runs keeps its directory', () => {
  const directory = join(root, 'running');
  freshDirectory(directory);
  writeFileSync(join(directory, '.fulgurite-demo'), String(process.ppid));
  assert.throws(() => freshDirectory(directory), { name: 'UsageError', message: /is running on/ });
});
