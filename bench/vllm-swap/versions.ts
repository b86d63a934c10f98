/** Whether tokens are of the version that they are recorded under: by the log-probs that each version gives them. */
import { join } from 'node:path';
import { trainerSchema } from '../../config/schema.ts';
import { openModel } from '../../model/open.ts';
import type { Database } from '../../store/open.ts';
import { getStep, type Step } from '../../store/steps.ts';
import type { TrainingStep } from '../../trainer/experience.ts';
import { openTrainingPolicy, policyVersion } from '../../trainer/policy.ts';
import { measureMismatch } from '../../trainer/self-test.ts';

export interface VersionCheck {
  readonly steps: number;
  readonly notComplete: number;
  readonly quarantined: number;
  /** Steps with tokens of more than one version, or whose spans leave tokens out. */
  readonly wrongSpans: number;
  /** Steps that another version explains better. */
  readonly mistaken: number;
  /** Mean |recomputed − recorded| log-prob under the recorded version, and under the other one, of the steps that were recomputed. */
  readonly recomputed: number;
  readonly meanUnderOwn: number;
  readonly meanUnderOther: number;
}

/** @param sample how many steps of each version are recomputed */
export async function checkVersions(db: Database, ids: readonly string[], versions: readonly number[], model: string, sample: number): Promise<VersionCheck> {
  const steps = ids.map((id) => getStep(db, id)).filter((step) => step !== undefined);
  const own = new Map(versions.map((version) => [version, steps.filter((step) => step.versionSpans?.[0]?.version === version).slice(-sample)]));
  const chosen = [...own.values()].flat();
  const under = new Map<number, number[]>();
  const opened = await openModel(model);
  // A matrix of threads and memory is not what is asked here: the defaults.
  const policy = await openTrainingPolicy({ model: opened, config: trainerSchema.parse({}), cacheDir: join(db.dataDir, 'cache') });
  try {
    for (const version of versions) {
      policy.load(policyVersion(db, version), 0);
      const differences: number[] = [];
      for (const step of chosen) differences.push((await measureMismatch(policy.learner, [asTraining(step)], 2048))?.meanAbsolute ?? NaN);
      under.set(version, differences);
    }
  } finally {
    await policy.close();
    opened.weights.close();
  }
  const mine = chosen.map((step, i) => under.get(step.versionSpans?.[0]?.version ?? -1)?.[i] ?? NaN);
  const others = chosen.map((step, i) => Math.min(...versions.filter((version) => version !== step.versionSpans?.[0]?.version).map((version) => under.get(version)?.[i] ?? NaN)));
  return {
    steps: steps.length,
    notComplete: steps.filter(({ state }) => state !== 'complete').length,
    quarantined: steps.filter(({ quarantineReason }) => quarantineReason !== null).length,
    wrongSpans: steps.filter(({ versionSpans, completionIds }) => versionSpans?.length !== 1 || versionSpans[0]?.to !== completionIds?.length).length,
    mistaken: mine.filter((difference, i) => !(difference < (others[i] ?? NaN))).length,
    recomputed: chosen.length, meanUnderOwn: mean(mine), meanUnderOther: mean(others),
  };
}

function asTraining(step: Step): TrainingStep {
  const { id, rolloutId, attemptId, sequence, promptIds, completionIds, logprobs, versionSpans, sampling } = step;
  if (!promptIds || !completionIds || !logprobs || !versionSpans) throw new Error(`step ${id} was recorded without tokens`);
  return {
    id, rolloutId, attemptId, sequence, taskId: rolloutId, promptTokenIds: promptIds, completionTokenIds: completionIds, behaviourLogprobs: logprobs,
    versionSpans, temperature: sampling?.temperature ?? 1, staleness: 0, truncated: false,
  };
}

const mean = (numbers: readonly number[]): number => Number((numbers.reduce((sum, number) => sum + number, 0) / numbers.length).toExponential(2));
