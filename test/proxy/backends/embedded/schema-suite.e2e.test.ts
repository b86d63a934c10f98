/** Every shape of schema through the whole engine, with a model that speaks at random and with a real one. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { embeddedBackendSchema } from '../../../../config/schema.ts';
import type { JsonSchema } from '../../../../model/grammar.ts';
import { startEmbedded } from '../../../../proxy/backends/embedded/start.ts';
import { createLog } from '../../../../proxy/log.ts';
import { supported } from '../../../engine/grammar/json/cases.ts';
import { skipWithoutSmollm2, smollm2Path } from '../../../fixtures/smollm2/find.ts';
import { chatCall, outcome } from '../answers.ts';
import { writeChainModel } from './chain-model.ts';

interface Run {
  readonly model: string;
  readonly samples: number;
  readonly maxTokens: number;
}

/** An answer that the token limit cuts cannot be valid; of those that end, all must be. */
async function validAnswers({ model, samples, maxTokens }: Run): Promise<{ ended: number; cut: number }> {
  const home = mkdtempSync(join(tmpdir(), 'fulgurite-'));
  const backend = await startEmbedded(embeddedBackendSchema.parse({ kind: 'embedded', model, name: 'm', maxContext: 1024, maxRows: 8 }), { cacheDir: join(home, 'cache'), adapterTargets: [] }, createLog('silent'));
  let ended = 0, cut = 0;
  try {
    for (const [name, schema] of Object.entries(supported)) {
      // OpenAI's API takes schemas that are objects; one that refers to its own root has to stay that root.
      const refersToItself = JSON.stringify(schema).includes('"#');
      const whole: JsonSchema = refersToItself ? schema : { type: 'object', properties: { answer: schema }, required: ['answer'], additionalProperties: false };
      const body = {
        model: 'm', messages: [{ role: 'user', content: `Give an example of ${name}, as JSON.` }], n: samples, seed: 1, temperature: 1, max_tokens: maxTokens,
        response_format: { type: 'json_schema', json_schema: { name: 'example', schema: whole } },
      };
      const { choices } = await outcome(await backend.chat(chatCall(body), new AbortController().signal));
      const check = validator(whole);
      for (const { content, finishReason } of choices) {
        if (finishReason === 'length') cut++;
        else {
          ended++;
          assert.ok(check(JSON.parse(content ?? '')), `${name}: ${content}`);
        }
      }
    }
  } finally {
    await backend.close();
    rmSync(home, { recursive: true });
  }
  return { ended, cut };
}

function validator(schema: JsonSchema): (value: unknown) => boolean {
  // Ajv knows draft 7's tuples by its own class only.
  const text = JSON.stringify(schema).replace(/"items":(\[[^\]]*\]),"additionalItems":false/, '"prefixItems":$1,"items":false');
  return new Ajv2020({ strict: false, validateFormats: false }).compile(JSON.parse(text) as JsonSchema);
}

test('a model that speaks at random', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'fulgurite-'));
  const { ended, cut } = await validAnswers({ model: writeChainModel(join(home, 'chain')), samples: 4, maxTokens: 600 });
  t.diagnostic(`${ended} answers ended, all valid; ${cut} were cut by max_tokens`);
  rmSync(home, { recursive: true });
});

test('SmolLM2', { skip: skipWithoutSmollm2 }, async (t) => {
  const { ended, cut } = await validAnswers({ model: smollm2Path ?? '', samples: 1, maxTokens: 60 });
  t.diagnostic(`${ended} answers ended, all valid; ${cut} were cut by max_tokens`);
  assert.ok(ended > cut);
});
