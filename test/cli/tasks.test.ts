import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UsageError } from '../../cli/failure.ts';
import { parseTasks, readTasks } from '../../cli/tasks.ts';

test('any JSON is a task; its id, or else its line, names it', () => {
  const text = '{"id": "a", "question": "?"}\n\n"just text"\n{"id": 7}\r\n[1, 2]\n{"question": "no id"}\n';
  assert.deepEqual(parseTasks(text, 'f'), [
    { id: 'a', input: { id: 'a', question: '?' } },
    { id: 'line-3', input: 'just text' },
    { id: '7', input: { id: 7 } },
    { id: 'line-5', input: [1, 2] },
    { id: 'line-6', input: { question: 'no id' } },
  ]);
});

const wrong: readonly [name: string, text: string, says: RegExp][] = [
  ['broken JSON', '{"id": 1}\n{"id": \n', /^f, line 2 is not JSON: /],
  ['an id twice', '{"id": "a"}\n1\n{"id": "a"}', /^f, line 3: the id "a" is already used on line 1\.$/],
  ['an id that is a list', '{"id": []}', /^f, line 1: "id" must be a number or a string/],
  ['an empty id', '{"id": ""}', /^f, line 1: "id" must be/],
  ['an empty file', '\n \n', /^f has no tasks: /],
];
for (const [name, text, says] of wrong) {
  test(`one sentence about ${name}`, () => {
    assert.throws(() => parseTasks(text, 'f'), (error) => error instanceof UsageError && says.test(error.message) && !error.message.includes('\n'));
  });
}

test('one sentence about a missing file', () => {
  assert.throws(() => readTasks('/nowhere/tasks.jsonl'), { name: 'UsageError', message: 'Cannot read the tasks /nowhere/tasks.jsonl: there is no such file.' });
});
