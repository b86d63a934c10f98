import assert from 'node:assert/strict';
import { test } from 'node:test';
import { banner } from '../../cli/serve.ts';
import { configSchema } from '../../config/schema.ts';

const facts = { url: 'http://127.0.0.1:8700', model: 'policy', version: 0 };
const trainerLine = (backend: object, trainerPid: number | null, trainer = {}): string | undefined =>
  banner(configSchema.parse({ backend, trainer }), { facts, trainerPid, close: () => Promise.resolve() }).split('\n').find((line) => line.startsWith('  trainer'));

await test('the banner says how to start a round, or why there is no trainer', () => {
  const embedded = { kind: 'embedded', model: './model' };
  assert.equal(trainerLine(embedded, 1), '  trainer  lora, grpo; POST http://127.0.0.1:8700/admin/rounds starts a round');
  assert.equal(trainerLine(embedded, null, { enabled: false }), '  trainer  off');
  assert.match(trainerLine({ kind: 'openai', baseUrl: 'http://127.0.0.1:8000/v1' }, null) ?? '', /off: backend\.kind "openai" is recorded, not trained/);
  assert.match(trainerLine({ kind: 'vllm', baseUrls: ['http://127.0.0.1:8000'] }, null) ?? '', /off: backend\.model does not say/);
});
