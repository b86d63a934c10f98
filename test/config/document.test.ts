import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { configurationDocument } from '../../config/document.ts';
import { leafPaths } from '../../config/outline.ts';

const text = configurationDocument();

test('every setting stands in the document with a sentence', () => {
  for (const path of leafPaths()) assert.ok(text.includes(`| \`${path.split('.').at(-1)}\` |`), path);
  const silent = text.split('\n').filter((line) => /^\| `.*\|\s*\|$/.test(line));
  assert.deepEqual(silent, [], 'settings without a sentence');
});

test('docs/configuration.md is the one made from the schema', () => {
  const file = new URL('../../docs/configuration.md', import.meta.url);
  assert.ok(existsSync(file), 'make it with: fulgurite config --docs > docs/configuration.md');
  assert.equal(readFileSync(file, 'utf8'), text, 'out of date: fulgurite config --docs > docs/configuration.md');
});
