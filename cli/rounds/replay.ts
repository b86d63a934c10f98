/** `fulgurite rounds replay`: a round of a data directory run again, and its bytes compared with the published ones. */
import { join } from 'node:path';
import { trainedModel } from '../../config/trained-model.ts';
import { openModel } from '../../model/open.ts';
import { openDatabase } from '../../store/open.ts';
import { requireBaseModel } from '../../store/policies.ts';
import { openTrainingPolicy, type TrainingPolicy } from '../../trainer/policy.ts';
import { type Replay, replayRound } from '../../trainer/replay.ts';
import { trackProgress } from '../../trainer/round-progress.ts';
import { type ConfigOptions, configurationOf } from '../configuration.ts';
import { RunError, UsageError } from '../failure.ts';
import { onInterrupt } from '../interrupt.ts';
import { Progress } from '../terminal/progress.ts';

/** The model and the data directory are the configuration's; how to train is what the round's row says. A server may be running. */
export async function replay(id: number, options: ConfigOptions): Promise<void> {
  const config = configurationOf(options);
  const trained = trainedModel(config);
  if (trained === null) throw new UsageError('A replay needs the model itself: give backend.model, with backend.kind "embedded" or "vllm".');
  using db = openDatabase(config.dataDir, { readonly: true });
  const model = await openModel(trained);
  const terminal = new Progress();
  let policy: TrainingPolicy | undefined;
  try {
    requireBaseModel(db, model.fingerprint);
    using interruption = onInterrupt();
    const result = await replayRound({
      db,
      openPolicy: async (trainer) => policy = await openTrainingPolicy({ model, config: trainer, cacheDir: join(db.dataDir, 'cache') }),
      progress: trackProgress(({ phase, done, total }) => { terminal.update(`round ${id} again: ${phase} ${done}/${total}`); }, interruption.signal),
    }, id);
    terminal.clear();
    process.stdout.write(report(result));
    if (!result.same) throw new RunError(`Round ${id} does not give the bytes that were published.`);
  } finally {
    terminal.clear();
    await policy?.close();
    model.weights.close();
  }
}

/** What was made of what, a line per file, and what explains a difference. */
export function report({ round, steps, files, differences }: Replay): string {
  const lines = files.map(({ name, published, replayed }) => (replayed === published
    ? `  same       ${name}  ${published}`
    : `  different  ${name}  published ${published}, now ${replayed ?? 'not written'}`));
  return `${[`Round ${round.id}: version ${round.baseVersion} to ${round.resultVersion}, ${steps} steps, seed ${round.seed}.`, ...lines, ...differences.map((difference) => `  ${difference}`)].join('\n')}\n`;
}
