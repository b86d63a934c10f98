/** A golden model as a whole: its configuration in both layouts, its tensors, rotations, padding, and what the engine serves. */
import { architectureOf } from '../../../model/architectures/index.ts';
import { ropesOf, ropeTables } from '../../../model/rope.ts';
import { collect, engineOn, request } from '../../engine/collect.ts';
import { openGoldenAt, type Golden } from '../../model/golden.ts';
import { close, equal, Mismatch } from '../check.ts';
import type { TensorCheck } from './block.ts';
import { logitsOf } from './logits.ts';

export function* modelChecks(golden: Golden, cacheDir: string): Generator<TensorCheck> {
  const { config, weights, directory, results } = golden;
  yield {
    name: 'config.v4.json', tensors: [],
    run: () => {
      const older = openGoldenAt(directory, 'config.v4.json');
      older.weights.close();
      older.results.close();
      return equal(older.config, config, 'configuration');
    },
  };
  yield {
    name: 'tensors', tensors: [],
    run: () => equal(new Map([...architectureOf(config).tensors(config)].sort(byName)), new Map(weights.names().map((name) => [name, weights.shape(name)] as const).sort(byName)), 'names and shapes'),
  };
  yield* ropeChecks(golden);
  yield { name: 'rows alone, without their padding', tensors: ['left/input_ids', 'left/attention_mask', 'lengths'], run: () => unpadded(golden, cacheDir) };
  yield { name: 'greedy tokens of the engine', tensors: ['greedy_from_prompt'], run: () => generated(golden) };
  // What the other checks are fed with.
  yield { name: 'batch', tensors: ['input_ids', 'attention_mask', 'loss_mask', 'weights'], run: () => equal(results.shape('weights'), results.shape('loss_mask'), 'shape of the weights') };
}

const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number => (a < b ? -1 : 1);

/** `rope/cos`, or `rope/full_attention/cos` where layers differ, `[time, headDim]`: both halves are our one. */
function* ropeChecks({ config, results }: Golden): Generator<TensorCheck> {
  for (const [table, rope] of ropesOf(config)) {
    const prefix = results.has('rope/cos') ? 'rope' : `rope/${table}_attention`;
    const tensors = [`${prefix}/cos`, `${prefix}/sin`];
    yield {
      name: prefix, tensors,
      run: () => {
        const [time = 0, headDim = 0] = results.shape(`${prefix}/cos`);
        const { cos, sin } = ropeTables(rope, headDim, time);
        const half = headDim / 2;
        const shares = [cos, sin].map((wave, i) => {
          const stored = results.read(tensors[i] ?? '').data;
          return close(stored.map((_, at) => wave[Math.floor(at / headDim) * half + (at % half)] ?? NaN), stored, { absolute: 1e-6 }, tensors[i] ?? '');
        });
        return Math.max(...shares);
      },
    };
  }
}

/**
 * The set has its batch right- and left-padded, with the same logits at real tokens. This project pads on the right only: what comes in left-padded is
 * taken out of its padding row by row, and each row alone must have those logits.
 */
async function unpadded(golden: Golden, cacheDir: string): Promise<number> {
  const { results, config } = golden;
  const [batch = 0, time = 0] = results.shape('left/input_ids');
  const padded = results.readInts('left/input_ids'), mask = results.readInts('left/attention_mask'), lengths = results.readInts('lengths');
  let worst = 0;
  for (let row = 0; row < batch; row++) {
    const ids = padded.subarray(row * time, (row + 1) * time).filter((_, t) => mask[row * time + t] === 1);
    equal(ids.length, lengths[row], `length of row ${row}`);
    const logits = await logitsOf(golden, { ids, batch: 1, time: ids.length }, null, cacheDir);
    const stored = results.read('base/logits').data.subarray(row * time * config.vocabSize, (row * time + ids.length) * config.vocabSize);
    worst = Math.max(worst, close(logits, stored, { absolute: 5e-5 }, `logits of row ${row}`));
  }
  return worst;
}

/** Prompts end where the loss mask begins. A token that is as likely as the stored one to 1e-4 may stand for it; what follows is another text then. */
async function generated({ directory, results }: Golden): Promise<number> {
  const [rows = 0, time = 0] = results.shape('input_ids');
  const [, count = 0] = results.shape('greedy_from_prompt');
  const ids = results.readInts('input_ids'), expected = results.readInts('greedy_from_prompt'), lossMask = results.read('loss_mask').data;
  await using running = await engineOn(directory, { maxContext: time + count });
  for (let row = 0; row < rows; row++) {
    const promptLength = lossMask.subarray(row * (time - 1), (row + 1) * (time - 1)).indexOf(1) + 1;
    const [choice] = await collect(running.engine, request(ids.subarray(row * time, row * time + promptLength), { maxTokens: count, topLogprobs: 2 }));
    for (let t = 0; t < count; t++) {
      const token = choice?.tokens[t], stored = expected[row * count + t];
      if (token?.id === stored) continue;
      const other = token?.top.find(({ id }) => id === stored);
      if (token && other && token.rawLogprob - other.logprob <= 1e-4) break;
      throw new Mismatch(`row ${row}: token ${t} is ${token?.id}, not ${stored}`, Infinity);
    }
  }
  return 0;
}
