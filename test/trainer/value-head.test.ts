import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readAdapter } from '../../model/adapter.ts';
import { readSafetensors } from '../../model/weights/safetensors.ts';
import { createEmbeddedLearner } from '../../trainer/backends/embedded.ts';
import { policyLoss } from '../../trainer/loss/policy-loss.ts';
import { createValueHead, readValueHead, writeValueHead } from '../../trainer/value-head.ts';
import { openGolden } from '../model/golden.ts';

const tokens = 6;
const batch = {
  batch: 2, time: 16, tokenIds: Int32Array.from({ length: 32 }, (_, i) => (i * 7) % 90), positions: Int32Array.of(3, 4, 5, 18, 19, 20), targets: Int32Array.of(1, 2, 3, 4, 5, 6),
  temperature: new Float32Array(tokens).fill(1), sequences: Int32Array.of(0, 0, 0, 1, 1, 1),
  perToken: { weight: new Float32Array(tokens).fill(1 / tokens), return: Float32Array.of(1, 1, 1, -0.5, -0.5, -0.5) },
};

await test('a value is w·h + b of the hidden state, and its gradient reaches the head and the adapter (finite differences)', async () => {
  const golden = openGolden('llama-tied');
  const cacheDir = mkdtempSync(join(tmpdir(), 'fulgurite-value-head-'));
  const head = createValueHead(golden.config.hiddenSize);
  const adapter = readAdapter(join(golden.directory, 'lora'), golden.config);
  const learner = await createEmbeddedLearner({
    model: { config: golden.config, weights: golden.weights, fingerprint: 'tiny' }, trainable: { kind: 'adapter', adapter },
    loss: policyLoss({ policy: null, aggregation: { mode: 'token-mean' }, value: { coefficient: 1 } }), valueHead: head, threads: 1, cacheDir,
  });
  try {
    assert.deepEqual((await learner.forward(batch)).values, new Float32Array(tokens), 'a new head says 0 of everything');
    head.get('value_head.weight')?.data.forEach((_, i, weight) => { weight[i] = Math.sin(i) / 4; });
    head.get('value_head.bias')?.data.fill(0.25);
    const { loss, values = new Float32Array(), gradients } = await learner.forwardBackward(batch);
    const expected = values.reduce((sum, value, m) => sum + (0.5 * (value - (batch.perToken.return[m] ?? NaN)) ** 2) / tokens, 0);
    assert.ok(Math.abs(loss - expected) < 1e-5, `${loss} should be ${expected}`);

    const step = 1e-2;
    for (const name of ['value_head.weight', 'value_head.bias', [...learner.parameters.keys()].find((parameter) => parameter.includes('lora_B')) ?? '']) {
      const data = learner.parameters.get(name)?.data ?? assert.fail(name);
      const gradient = gradients.get(name) ?? assert.fail(name);
      const at = gradient.reduce((best, g, i) => (Math.abs(g) > Math.abs(gradient[best] ?? 0) ? i : best), 0);
      const own = data[at] ?? NaN;
      const lossWith = async (value: number): Promise<number> => {
        data[at] = value;
        return (await learner.forwardBackward(batch)).loss;
      };
      const difference = (await lossWith(own + step) - await lossWith(own - step)) / (2 * step);
      data[at] = own;
      assert.ok(Math.abs(difference - (gradient[at] ?? NaN)) < 2e-3 * Math.max(1, Math.abs(difference)), `${name}[${at}]: ${gradient[at]} should be ${difference}`);
    }
  } finally {
    await learner.close();
    for (const file of [golden.weights, golden.results]) file.close();
    rmSync(cacheDir, { recursive: true, force: true });
  }
});

await test('a value head is written beside the policy and read again; where there was none there is none', () => {
  const directory = mkdtempSync(join(tmpdir(), 'fulgurite-value-head-'));
  try {
    writeValueHead(directory, new Map([['model.norm.weight', { shape: [1], data: Float32Array.of(1) }]]));
    assert.equal(readValueHead(directory), null);
    const head = createValueHead(3);
    head.get('value_head.weight')?.data.set([1, 2, 3]);
    writeValueHead(directory, new Map([['model.norm.weight', { shape: [1], data: Float32Array.of(1) }], ...head]));
    assert.deepEqual(readValueHead(directory), head);
    const file = readSafetensors(join(directory, 'value_head.safetensors'));
    assert.deepEqual(file.names(), ['value_head.weight', 'value_head.bias']);
    file.close();
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
