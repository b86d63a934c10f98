/** One block of a golden model: the base with all its gradients (`base`), or an adapter with its own (`lora…`). */
import { join } from 'node:path';
import { loraScale, mergeLora, readAdapter, type Adapter } from '../../../model/adapter.ts';
import type { EmbeddedLearnerOptions } from '../../../trainer/backends/embedded.ts';
import type { BackwardResult } from '../../../trainer/learner.ts';
import type { Golden } from '../../model/golden.ts';
import { goldenBatch } from '../../trainer/backends/golden-batch.ts';
import { close, equal, withRoomFor, type Check } from '../check.ts';
import { openLearner } from './learner.ts';
import { logitsOf } from './logits.ts';

/** A check, and the tensors of golden.safetensors that it uses up. */
export interface TensorCheck extends Check {
  readonly tensors: readonly string[];
}

export function* blockChecks(golden: Golden, block: string, cacheDir: string): Generator<TensorCheck> {
  const { results, config, directory } = golden;
  const isBase = block === 'base';
  const float32 = golden.float32Errors(block);
  const tolerance = (kind: 'logits' | 'logprobs' | 'logprobs_temp' | 'entropy'): { readonly absolute: number } => ({ absolute: withRoomFor(isBase ? 5e-5 : 1e-4, float32[kind].max_abs) });
  const adapter = (): Adapter | null => (isBase ? null : readAdapter(join(directory, block), config));
  const trainable = (): EmbeddedLearnerOptions['trainable'] => {
    const own = adapter();
    return own ? { kind: 'adapter', adapter: own } : { kind: 'full', start: golden.weights };
  };
  const check = (what: string, run: (tensor: string) => number | Promise<number>): TensorCheck =>
    ({ name: `${block} ${what}`, tensors: [`${block}/${what}`], run: () => run(`${block}/${what}`) });
  const { batch, at } = goldenBatch(golden, 1);
  const atTokens = (tensor: string): Float32Array => {
    const all = results.read(tensor).data;
    return Float32Array.from(at, (i) => all[i] ?? NaN);
  };

  yield check('logits', async (tensor) => {
    const logits = await logitsOf(golden, { ids: batch.tokenIds, batch: batch.batch, time: batch.time }, adapter(), cacheDir);
    // Stored logits are 0 where there is no token.
    results.readInts('attention_mask').forEach((mask, row) => { if (mask === 0) logits.fill(0, row * config.vocabSize, (row + 1) * config.vocabSize); });
    return close(logits, results.read(tensor).data, tolerance('logits'), 'logits');
  });

  let computed: Promise<{ result: BackwardResult; tempered: Float32Array }> | null = null;
  const learned = (): NonNullable<typeof computed> => (computed ??= (async () => {
    await using learner = await openLearner(golden, trainable(), cacheDir);
    return { result: await learner.forwardBackward(batch), tempered: (await learner.forward(goldenBatch(golden, golden.temperature).batch)).logprobs };
  })());
  const firsts = (values: Float32Array): Float32Array => values.subarray(0, at.length);
  yield check('logprobs', async (tensor) => close(firsts((await learned()).result.logprobs), atTokens(tensor), tolerance('logprobs'), 'log-probs'));
  yield check('logprobs_temp', async (tensor) => close(firsts((await learned()).tempered), atTokens(tensor), tolerance('logprobs_temp'), 'log-probs'));
  yield check('entropy', async (tensor) => close(firsts((await learned()).result.entropy), atTokens(tensor), tolerance('entropy'), 'entropies'));
  yield { name: `${block} loss`, tensors: [], run: async () => close([(await learned()).result.loss], [golden.lossOf(block)], { absolute: withRoomFor(1e-5, float32.loss.abs) }, 'loss') };

  const gradients = results.names().filter((name) => name.startsWith(`${block}/grad.`));
  const parameterOf = (tensor: string): string => tensor.slice(`${block}/grad.`.length);
  yield { name: `${block} trained parameters`, tensors: [], run: async () => equal([...(await learned()).result.gradients.keys()].sort(), gradients.map(parameterOf).sort(), 'parameters with gradients') };
  for (const tensor of gradients) {
    yield {
      name: `${block} gradient of ${parameterOf(tensor)}`, tensors: [tensor],
      run: async () => close((await learned()).result.gradients.get(parameterOf(tensor)) ?? [], results.read(tensor).data, { relative: withRoomFor(5e-5, float32.grads.max_abs_over_tensor_absmax) }, 'gradient'),
    };
  }

  for (const tensor of results.names().filter((name) => name.startsWith(`${block}/merged.`))) {
    const weight = tensor.slice(`${block}/merged.`.length);
    yield {
      name: `${block} merged ${weight}`, tensors: [tensor],
      run: () => {
        const own = adapter();
        const lora = own?.modules.get(weight.replace(/\.weight$/, ''));
        if (!own || !lora) throw new Error(`no adapter has a module for ${weight}`);
        return close(mergeLora(golden.weights.read(weight), lora, loraScale(own.config)).data, results.read(tensor).data, { absolute: 1e-6 }, weight);
      },
    };
  }
}
