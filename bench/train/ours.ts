/** One contender in its own process: `node ours.ts '{"model":…}'` → a JSON line. */
import { readAdapter } from '../../model/adapter.ts';
import { openWeights } from '../../model/open.ts';
import { createEmbeddedLearner } from '../../trainer/backends/embedded.ts';
import type { Contender, Job } from './contender.ts';
import { clippedLoss, workload } from './workload.ts';

const job = JSON.parse(process.argv[2] ?? '') as Job; // written by index.ts
const model = await openWeights(job.model);
const adapter = readAdapter(job.adapter, model.config);
const learner = await createEmbeddedLearner({ model, trainable: { kind: 'adapter', adapter }, loss: clippedLoss, memory: { recompute: job.recompute ? 'always' : 'never' }, threads: job.threads, cacheDir: job.cacheDir });
const batch = workload(job, model.config.vocabSize);
const { peakBytes } = await learner.plan([batch]);
const seconds: number[] = [];
let loss = NaN;
let gradNorm = NaN;
for (let pass = 0; pass <= job.passes; pass++) {
  const started = performance.now();
  const result = await learner.forwardBackward(batch);
  if (pass > 0) seconds.push((performance.now() - started) / 1000); // the first one prepares the graph
  loss = result.loss;
  gradNorm = Math.hypot(...[...result.gradients.values()].map((gradient) => Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0))));
}
const peakMb = process.resourceUsage().maxRSS / 1024;
await learner.close();
model.weights.close();
console.log(JSON.stringify({ seconds, peakMb, estimatedMb: peakBytes / 2 ** 20, loss, gradNorm } satisfies Contender));
