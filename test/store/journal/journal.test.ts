import assert from 'node:assert/strict';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { Journal } from '../../../store/journal/journal.ts';
import { JournalReader } from '../../../store/journal/reader.ts';
import { temporaryDirectory } from '../temporary.ts';

const rollout = (n: number, bytes = 0) => ({ id: `ro_${n}`, mode: 'live', input: 'x'.repeat(bytes) }) as const;
const ids = (reader: JournalReader, count: number) => reader.read(count).map(({ argument }) => (argument as { id: string }).id); // as `rollout` made it

it('what is appended can be read at once, in order and in any portions, over many files', (t) => {
  const directory = temporaryDirectory(t);
  const [journal, reader] = [new Journal(directory), new JournalReader(directory)];
  const read: string[] = [];
  for (let n = 0; n < 60; n++) {
    assert.ok(journal.append('createRollout', rollout(n, 300_000)));
    if (n % 7 === 6) read.push(...ids(reader, 5));
  }
  const files = readdirSync(directory).length;
  assert.ok(files > 3, `${files} files`);
  read.push(...ids(reader, 1000));
  assert.deepEqual(read, Array.from({ length: 60 }, (_, n) => `ro_${n}`));
  reader.release();
  assert.equal(readdirSync(directory).length, 1, 'only the file that is written is left');
  journal.append('createRollout', rollout(60));
  assert.deepEqual(ids(reader, 1000), ['ro_60']);
  journal.close();
  reader.close();
});

it('a journal that cannot be written says so, and goes on when it can', (t) => {
  const directory = join(temporaryDirectory(t), 'missing');
  const journal = new Journal(directory);
  assert.equal(journal.append('createRollout', rollout(0)), false);
  mkdirSync(directory);
  assert.ok(journal.append('createRollout', rollout(1)));
  const reader = new JournalReader(directory);
  assert.deepEqual(ids(reader, 10), ['ro_1']);
  journal.close();
  reader.close();
});
