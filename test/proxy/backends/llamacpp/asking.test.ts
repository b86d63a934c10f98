import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GenerateRequest, SamplingOptions } from '../../../../engine/engine.ts';
import { NO_PENALTIES } from '../../../../engine/penalties.ts';
import { completionBody, probabilitiesOf } from '../../../../proxy/backends/llamacpp/asking.ts';

const plain: SamplingOptions = { temperature: 1, topP: 1, topK: 0, minP: 0, seed: 7, ...NO_PENALTIES };
const request: GenerateRequest = { promptTokenIds: Int32Array.of(1, 2), n: 2, maxTokens: 8, stopTokenIds: [0], sampling: plain, topLogprobs: 0, version: null };

test('raw log-probs are asked for where they are those of what is sampled from', () => {
  const table: readonly (readonly [Partial<SamplingOptions>, 'raw' | 'sampled'])[] = [
    [{}, 'raw'], [{ temperature: 0 }, 'raw'], [{ temperature: 0.7 }, 'sampled'], [{ topP: 0.9 }, 'sampled'], [{ topK: 5 }, 'sampled'], [{ minP: 0.1 }, 'sampled'],
    [{ frequencyPenalty: 1 }, 'sampled'], [{ presencePenalty: 1 }, 'sampled'], [{ repetitionPenalty: 1.1 }, 'sampled'], [{ logitBias: [[3, 1]] }, 'sampled'],
    [{ temperature: 0, topP: 0.9 }, 'raw'],
  ];
  for (const [sampling, wanted] of table) assert.equal(probabilitiesOf({ ...plain, ...sampling }), wanted, JSON.stringify(sampling));
});

test('the request says all that decides how it is sampled', () => {
  const body = completionBody(request, []);
  assert.deepEqual([body['prompt'], body['n_cmpl'], body['n_predict'], body['n_probs'], body['post_sampling_probs'], body['cache_prompt']], [[1, 2], 2, 8, 1, false, true]);
  assert.deepEqual(body['samplers'], ['penalties', 'temperature', 'min_p', 'top_k', 'top_p']);
  assert.equal('lora' in body, false);
});

test('with adapters every one is named, and nothing that another one read is reused', () => {
  const adapters = [{ id: 0, scale: 0 }, { id: 1, scale: 1 }];
  const body = completionBody(request, adapters);
  assert.deepEqual([body['lora'], body['cache_prompt']], [adapters, false]);
});

test('seeds have 32 bits; the one that means "at random" is none', () => {
  const seedOf = (seed: number | null) => completionBody({ ...request, sampling: { ...plain, seed } }, [])['seed'];
  assert.deepEqual([7, null, -1, 0xffff_ffff, 2 ** 40].map(seedOf), [7, -1, 0xffff_fffe, 0, 256]);
});
