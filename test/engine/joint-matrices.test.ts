import assert from 'node:assert/strict';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { jointMatrices } from '../../engine/joint-matrices.ts';
import { readResidentWeights } from '../../engine/resident-weights.ts';
import { openWeightBlob } from '../../model/graph/weight-blob.ts';
import { openGolden } from '../model/golden.ts';

for (const name of ['llama-tied', 'llama-untied-llama3rope', 'qwen2', 'qwen3', 'gemma3-text']) {
  describe(name, () => {
    const { config, weights } = openGolden(name);
    const matrices = jointMatrices(config);

    test('every linear layer and the head is in one matrix, q, k, v and gate, up in one each', () => {
      assert.equal(matrices.size, 7 * config.layers + 1);
      assert.equal(new Set(matrices.values()).size, 4 * config.layers + 1);
      for (const [weight, { parts, inner }] of matrices) assert.deepEqual([parts.get(weight), inner], weights.shape(weight));
    });

    test('what is read is the weights, one below the other', async () => {
      await using directory = await mkdtempDisposable(join(tmpdir(), 'joint-'));
      const views = await readResidentWeights([...new Set(matrices.values())], await openWeightBlob(directory.path, name, weights));
      for (const matrix of new Set(matrices.values())) {
        const parts = [...matrix.parts.keys()].flatMap((weight) => [...weights.read(weight).data]);
        assert.deepEqual([...views[matrix.name]?.data ?? []], parts);
      }
    });
  });
}
