/** What the runtime's own profile says of one micro-batch's forward and backward pass. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { encodeModel, shareCommonSubexpressions } from '../../model/graph/index.ts';
import { createAdapter } from '../../model/adapter.ts';
import type { TrainerConfig } from '../../config/schema.ts';
import { algorithmOf } from '../../trainer/algorithms/index.ts';
import { batchTensors, ropeTensors } from '../../trainer/backends/feeds.ts';
import { openTrainable } from '../../trainer/backends/trainable.ts';
import { buildTrainingGraph } from '../../trainer/backends/training-graph.ts';
import { mergeSteps, planMicroBatches } from '../../trainer/batch.ts';
import { lossInputs, policyLoss } from '../../trainer/loss/policy-loss.ts';
import type { TrainableModel } from '../../trainer/policy.ts';
import { seededRandom } from '../../trainer/random.ts';
import { randomSteps, type Size } from './steps.ts';

const PRODUCTS = new Set(['Gemm', 'MatMul', 'FusedMatMul', 'FusedGemm']);

/** Share of the time by ONNX operation, largest first, and which of them are matrix products. */
export async function operationShares(model: TrainableModel, config: TrainerConfig, size: Size, cacheDir: string): Promise<{ readonly shares: readonly (readonly [string, number])[]; readonly products: ReadonlySet<string> }> {
  const { loss } = algorithmOf(config);
  const adapter = createAdapter(model.config, config.lora, seededRandom(1));
  const { parameters, source, directory } = await openTrainable({ model, trainable: { kind: 'adapter', adapter }, cacheDir });
  const [plan] = planMicroBatches(mergeSteps(randomSteps(size, 1)), size.tokensPerMicroBatch, Object.fromEntries(lossInputs(loss).map((name) => [name, () => 0.5])));
  if (!plan || directory === null) throw new Error('nothing to measure');
  const work = mkdtempSync(join(directory, 'profile-'));
  const path = join(directory, `${work.slice(-6)}.onnx`);
  try {
    writeFileSync(path, encodeModel(shareCommonSubexpressions(buildTrainingGraph(model.config, source, policyLoss(loss)))));
    const session = await ort.InferenceSession.create(path, {
      intraOpNumThreads: config.threads, enableMemPattern: false, logSeverityLevel: 3, enableProfiling: true, profileFilePrefix: join(work, 'profile'), extra: { session: { 'intra_op.allow_spinning': '0', disable_prepacking: '1' } },
    });
    const feeds = new Map<string, ort.Tensor>([...batchTensors(plan.batch), ...ropeTensors(model.config, plan.batch.time), ...[...parameters].map(([name, { data, shape }]) => [name, new ort.Tensor('float32', data, shape)] as const)]);
    const needed = Object.fromEntries(session.inputNames.flatMap((name) => { const feed = feeds.get(name); return feed ? [[name, feed]] : []; }));
    for (let pass = 0; pass < 2; pass++) await session.run(needed);
    session.endProfiling();
    const [profile = ''] = readdirSync(work);
    const shares = sharesOf(JSON.parse(readFileSync(join(work, profile), 'utf8')) as readonly Event[]); // the runtime's format
    await session.release();
    return { shares, products: PRODUCTS };
  } finally {
    rmSync(work, { recursive: true });
    rmSync(path, { force: true });
  }
}

/** One line of the runtime's trace. */
interface Event {
  readonly cat: string;
  readonly name: string;
  /** Microseconds. */
  readonly dur: number;
  readonly args?: { readonly op_name?: string };
}

function sharesOf(events: readonly Event[]): (readonly [string, number])[] {
  const byKind = new Map<string, number>();
  for (const { cat, name, dur, args } of events) {
    if (cat === 'Node' && name.endsWith('_kernel_time') && args?.op_name !== undefined) byKind.set(args.op_name, (byKind.get(args.op_name) ?? 0) + dur);
  }
  const total = [...byKind.values()].reduce((sum, dur) => sum + dur, 0);
  return [...byKind].map(([kind, dur]) => [kind, dur / total] as const).toSorted(([, a], [, b]) => b - a);
}
