import assert from 'node:assert/strict';
import { test } from 'node:test';
import { choose, type Choosable } from '../../../../proxy/backends/vllm/choose.ts';
import { isUnknownModel, readLoad, readModels } from '../../../../proxy/backends/vllm/protocol.ts';
import { messageOf } from '../../../../proxy/backends/openai/upstream.ts';
import { bodyOf, exchange } from '../fixture-server.ts';

test('models as vLLM lists them: the base, its length, its adapters', () => {
  assert.deepEqual(readModels(bodyOf(exchange('vllm/models_with_lora'))), { base: 'smollm2', created: 1795427827, ownedBy: 'vllm', maxLength: 2048, adapters: new Set(['pol-v1']) });
  for (const nothing of [null, {}, { data: [] }, { data: [{ id: 'a', parent: 'b' }] }]) assert.equal(readModels(nothing), null);
});

test('what became of a load, by recorded answers', () => {
  const recorded = (name: string) => {
    const { status, bytes } = exchange(`vllm/${name}`);
    return readLoad(status, status < 400 ? bytes.toString('utf8') : messageOf(bodyOf(exchange(`vllm/${name}`))) ?? '');
  };
  assert.deepEqual(recorded('lora_load_ok'), { kind: 'loaded' });
  assert.deepEqual(recorded('lora_load_again_same_name'), { kind: 'loaded' });
  assert.deepEqual(recorded('lora_load_missing_path'), { kind: 'refused', why: 'Loading lora x failed: No adapter found for /nonexistent' });
  assert.deepEqual(readLoad(404, 'Not Found'), { kind: 'refused', why: 'it takes no adapters while it runs' });
  assert.equal(readLoad(500, 'LoRA rank 32 is greater than max_lora_rank 16').kind, 'refused');
  assert.equal(readLoad(503, 'Service Unavailable').kind, 'failed');
});

test('a model that a server has lost is told from a client\'s mistake', () => {
  const message = String(messageOf(bodyOf(exchange('vllm/err_bad_model'))));
  assert.equal(isUnknownModel(404, message, 'nope'), true);
  assert.equal(isUnknownModel(404, message, 'fulgurite-1-abc'), false);
  assert.equal(isUnknownModel(400, message, 'nope'), false);
});

test('a call goes where its rollout was, else where fewest are open, else where none was for longest', () => {
  const [a, b, c] = [{ outstanding: 2, chosenAt: 1 }, { outstanding: 1, chosenAt: 3 }, { outstanding: 1, chosenAt: 2 }] as const;
  assert.equal(choose<Choosable>([a, b, c], undefined), c);
  assert.equal(choose<Choosable>([a, b, c], a), a);
  assert.equal(choose<Choosable>([b, c], a), c, 'one that takes no calls is left');
  assert.equal(choose([], a), null);
});
