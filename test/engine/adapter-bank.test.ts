import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AdapterBank, type AdapterMatrices } from '../../engine/adapter-bank.ts';
import { LORA_B_SCALE } from '../../engine/decode-graph.ts';
import { linearModules } from '../../model/lora-targets.ts';
import { openGolden } from '../model/golden.ts';

const { config } = openGolden('llama-tied');
const modules = linearModules(config);
const qInput = 'lora_a.joint.model.layers.0.self_attn.q_proj';
const qOutput = 'lora_b.joint.model.layers.0.self_attn.q_proj';

/** All numbers of it are the same. */
function adapter(rank: number, value: number, projections: readonly string[] = ['q_proj', 'v_proj']): AdapterMatrices {
  return new Map([...modules].filter(([module]) => projections.some((projection) => module.endsWith(projection))).map(([module, [out, inner]]) => [
    module, { a: new Float32Array(rank * inner).fill(value), b: new Float32Array(out * rank).fill(value / LORA_B_SCALE), rank },
  ]));
}

await test('an adapter is fed as its own ranks, q\'s before v\'s, each for its own rows', () => {
  const bank = new AdapterBank(config, ['q_proj', 'v_proj']);
  const place = bank.add(adapter(2, 3));
  const { inputs: views } = bank.feedsOf(place);
  const { heads, kvHeads, headDim, hiddenSize } = config;
  const [q, k, v] = [heads * headDim, kvHeads * headDim, kvHeads * headDim];
  assert.deepEqual(views[qInput]?.shape, [4, hiddenSize]);
  assert.deepEqual(views[qOutput]?.shape, [4, q + k + v]);
  const [first, , third] = [0, 1, 2].map((rank) => views[qOutput]?.data.slice(rank * (q + k + v), (rank + 1) * (q + k + v)));
  assert.deepEqual([...first ?? []], [...Array.from({ length: q }, () => 3), ...Array.from({ length: k + v }, () => 0)]);
  assert.deepEqual([...third ?? []], [...Array.from({ length: q + k }, () => 0), ...Array.from({ length: v }, () => 3)]);
});

await test('what is there stays as it was while others come and go, and a place that was left is taken again', () => {
  const bank = new AdapterBank(config, ['q_proj', 'v_proj']);
  const places = [1, 2, 3, 4, 5].map((value) => bank.add(adapter(2, value)));
  const valueAt = (index: number): unknown => { const place = places[index]; return place && bank.feedsOf(place).inputs[qInput]?.data[0]; };
  assert.deepEqual([0, 1, 2, 3, 4].map(valueAt), [1, 2, 3, 4, 5]);
  const [, second, , , last] = places;
  assert.ok(second && last);
  bank.remove(second);
  places[1] = bank.add(adapter(2, 7, ['v_proj']));
  assert.notEqual(places[1], second, 'another rank does not fit');
  bank.remove(last);
  places[4] = bank.add(adapter(2, 9));
  assert.equal(places[4], second);
  assert.deepEqual([0, 1, 2, 3, 4].map(valueAt), [1, 7, 3, 4, 9]);
});

await test('a mask leaves each row the ranks of its own', () => {
  const bank = new AdapterBank(config, ['q_proj', 'v_proj']);
  const [one, two, three] = [1, 2, 1].map((rank, index) => bank.add(adapter(rank, index + 1, ['q_proj'])));
  assert.ok(one && two && three);
  const { factors, masks } = bank.feedsOfRows([three, null, two, three]);
  const views = { ...factors.inputs, ...masks };
  assert.deepEqual(views['row_mask.q_proj'], { shape: [3, 4], data: Int32Array.of(0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 1) });
  assert.equal(views[qInput]?.data.length, 3 * config.hiddenSize, 'only what lies between them');
});
