import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { SchemaError } from '../../../../engine/grammar/json/error.ts';
import { jsonGrammar } from '../../../../engine/grammar/json/schema.ts';
import { accepts, numbers, walk } from '../walk.ts';
import { refused, supported } from './cases.ts';

const TEXTS = 30;

for (const [name, schema] of Object.entries(supported)) {
  test(`whatever is sampled is valid: ${name}`, async () => {
    const isDraft7 = typeof schema === 'object' && Array.isArray(schema['items']);
    const check = new Ajv2020({ strict: false, validateFormats: false }).compile(isDraft7 ? { type: 'array', prefixItems: schema['items'], items: false } : schema);
    const random = numbers(name.length);
    let ended = 0;
    for (let i = 0; i < TEXTS; i++) {
      const text = await walk({ type: 'json', schema }, random);
      if (text === null) continue;
      ended++;
      assert.ok(check(JSON.parse(text)), `${text} is not valid`);
    }
    assert.ok(ended > TEXTS / 3, `only ${ended} texts ended`);
  });
}

test('what cannot be held to is refused by its name, with its place', () => {
  for (const [schema, says] of refused) {
    assert.throws(() => jsonGrammar(schema), (error) => error instanceof SchemaError && says.test(error.message), JSON.stringify(schema));
  }
});

test('valid texts are let through, in the schema\'s order, with and without space', async () => {
  const grammar = { type: 'json', schema: supported['members that may be missing'] ?? true } as const;
  for (const text of ['{"b":1}', '{"a": 1, "b": -20}', '{ "b" : 0,\n  "c" : 3 }']) assert.equal(await accepts(grammar, text), true, text);
  for (const text of ['{}', '{"a":1}', '{"b":01}', '{"b":1,}', '{"b":1,"a":2}', '{"b":1} ', '{"b":1,"d":1}']) assert.equal(await accepts(grammar, text), false, text);
});
