/**
 * Whether policies are the same numbers elsewhere: adapters and full checkpoints trained here in transformers + peft and in vLLM (CPU), and PEFT's adapters here, on
 * small checkpoints of every architecture and on SmolLM2-135M. Needs a Python with torch, transformers, peft and vllm: `--python` or FULGURITE_PYTHON;
 * `--peers transformers` leaves vLLM out. `--llama-cpp` names llama.cpp's source tree, whose converters and, by the package xllamacpp, whose LoRA are tried too.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { seededRandom } from '../../trainer/random.ts';
import type { Benchmark } from '../benchmark.ts';
import { exportPath } from '../hugging-face.ts';
import { type Comparison, holds, largestDifference, largestLogprobDifference, lineOf } from './compare.ts';
import { ourLogits, trainPolicy } from './ours.ts';
import { openPeers, type PeerRun, type Peers, type Subject } from './peers.ts';

const cache = join(import.meta.dirname, '..', '..', '.cache');
const TOKENS = 40;
/** Of every model here; Gemma's windows of 16 are left behind within TOKENS. */
const SMALLEST_VOCABULARY = 512;
const FLOAT32_LIMIT = 1e-3;
/** Of a policy's logits from the base model's: an adapter that is not applied must be seen. */
const LARGE = 0.1;
/** Two implementations in bfloat16 differ by about as much as one of them from float32. */
const BFLOAT16_FACTOR = 2;

export const run: Benchmark = async (args, print) => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      python: { type: 'string', default: process.env['FULGURITE_PYTHON'] ?? 'python3' },
      model: { type: 'string', default: process.env['FULGURITE_SMOLLM2'] ?? join(cache, 'smollm2', 'SmolLM2-135M-Instruct.Q4_1.gguf') },
      peers: { type: 'string', default: 'transformers,vllm' },
      subjects: { type: 'string' },
      'llama-cpp': { type: 'string' },
    },
  });
  mkdirSync(join(cache, 'bench'), { recursive: true });
  const work = mkdtempSync(join(cache, 'bench', 'interop-'));
  try {
    const tokenIds = randomTokens();
    const peers = openPeers(values.python, work, tokenIds);
    const made = await peers.make(existsSync(values.model) ? { smollm2: await exportPath(values.model, join(cache, 'bench')) } : {});
    const comparisons: Comparison[] = [];
    for (const subject of made.filter(({ name }) => values.subjects?.split(',').includes(name) ?? true)) {
      const { name } = subject;
      for await (const comparison of compare(subject, peers, {
        work, tokenIds, withVllm: values.peers.includes('vllm'), llamaCpp: values['llama-cpp'] && name === 'smollm2' ? { source: values['llama-cpp'], gguf: resolve(values.model) } : null,
      })) {
        print(lineOf(comparison));
        comparisons.push(comparison);
      }
    }
    const failed = comparisons.filter((one) => !holds(one)).length;
    print(`${comparisons.length - failed} passed, ${failed} failed`);
    if (failed > 0) process.exitCode = 1;
    return { comparisons, passed: comparisons.length - failed, failed };
  } finally {
    rmSync(work, { recursive: true });
  }
};

interface Setting {
  readonly work: string;
  readonly tokenIds: Int32Array;
  readonly withVllm: boolean;
  /** Its converters need the tokenizer, which the small checkpoints do not have. */
  readonly llamaCpp: { readonly source: string; readonly gguf: string } | null;
}

async function* compare({ name, base, adapters }: Subject, peers: Peers, { work, tokenIds, withVllm, llamaCpp }: Setting): AsyncGenerator<Comparison> {
  const cacheDir = join(work, 'graphs');
  const against = (what: string, ours: Float32Array, theirs: Float32Array | undefined, limit = FLOAT32_LIMIT): Comparison =>
    ({ name: `${name}: ${what}`, difference: largestDifference(ours.subarray(0, theirs?.length ?? 0), theirs ?? ours), limit });
  const float32 = (from: string, adapter: string | null): PeerRun => ({ base: from, adapter, dtype: 'float32' });

  const theirs = Object.entries(adapters);
  const loaded = await peers.transformers([float32(base, null), ...theirs.map(([, adapter]) => float32(base, adapter))]);
  yield against('base', await ourLogits(base, null, tokenIds, cacheDir), loaded[0]);
  for (const [i, [how, adapter]] of theirs.entries()) yield against(`PEFT adapter (${how}), here`, await ourLogits(base, adapter, tokenIds, cacheDir), loaded[i + 1]);

  const trained = join(work, `${name}-trained`);
  await trainPolicy(base, 'lora', tokenIds, trained, cacheDir);
  const ours = await ourLogits(base, trained, tokenIds, cacheDir);
  if (largestDifference(ours, loaded[0] ?? ours) < LARGE) throw new Error(`${name}: training hardly moved the policy, so nothing could be seen`);
  const full = join(work, `${name}-full`);
  // Full training is for small models.
  if (name !== 'smollm2') await trainPolicy(base, 'full', tokenIds, full, cacheDir);
  const oursFull = existsSync(full) ? await ourLogits(full, null, tokenIds, cacheDir) : null;

  const runs = [float32(base, trained), ...(oursFull ? [float32(full, null)] : [])];
  const inTransformers = await peers.transformers(runs);
  yield against('adapter trained here, in transformers + peft (float32)', ours, inTransformers[0]);
  if (oursFull) yield against('checkpoint trained here, in transformers (float32)', oursFull, inTransformers[1]);
  if (llamaCpp) {
    const likely = await peers.llamaCpp(llamaCpp.source, llamaCpp.gguf, { base, adapter: trained });
    yield { name: `${name}: adapter trained here, in llama.cpp (float32)`, difference: largestLogprobDifference(ours, ours.length / tokenIds.length, likely), limit: FLOAT32_LIMIT };
  }
  if (!withVllm) return;
  const inVllm = await peers.vllm(runs);
  yield against('adapter trained here, in vLLM (float32)', ours, inVllm[0]);
  if (oursFull) yield against('checkpoint trained here, in vLLM (float32)', oursFull, inVllm[1]);

  const rounded: PeerRun = { base, adapter: trained, dtype: 'bfloat16' };
  const [inBfloat16] = await peers.transformers([rounded]);
  const rounding = largestDifference(ours, inBfloat16 ?? ours);
  const [vllmBfloat16] = await peers.vllm([rounded]);
  yield against(`adapter trained here, in vLLM (bfloat16; transformers' own rounding is ${rounding.toExponential(1)})`, ours, vllmBfloat16, BFLOAT16_FACTOR * rounding);
}

function randomTokens(): Int32Array {
  const random = seededRandom(1);
  return Int32Array.from({ length: TOKENS }, () => 3 + Math.floor(random() * (SMALLEST_VOCABULARY - 3)));
}
