/** Do the engine and the trainer give the same tokens the same log-probs? Measured on fresh samples of one version. */
import type { TrainerConfig } from '../../config/schema.ts';
import type { Engine } from '../../engine/engine.ts';
import { NO_PENALTIES } from '../../engine/penalties.ts';
import type { Model } from '../../model/model.ts';
import type { TrainingStep } from '../../trainer/experience.ts';
import { openTrainingPolicy, type PolicyVersion } from '../../trainer/policy.ts';
import { measureMismatch, type Mismatch } from '../../trainer/self-test.ts';

export interface AgreementOptions {
  readonly engine: Engine;
  readonly model: Model;
  readonly version: PolicyVersion;
  readonly trainer: TrainerConfig;
  readonly cacheDir: string;
  readonly samples: number;
  readonly maxTokens: number;
}

const questions = [
  'What is the capital of France?', 'Name three colours.', 'Add 12 and 30.', 'Write one sentence about the sea.',
  'Why is the sky blue?', 'List the days of the week.', 'What does a calculator do?', 'Say hello in Spanish.',
];

/**
 * Samples at temperature 1 through the engine and recomputes with the trainer's own graphs.
 * @returns the mismatch over all sampled tokens, nats
 */
export async function measureAgreement(options: AgreementOptions): Promise<Mismatch> {
  const { trainer, model, cacheDir, version } = options;
  const signal = AbortSignal.timeout(300_000);
  const steps: TrainingStep[] = await Promise.all(Array.from({ length: options.samples }, (_, index) => sample(options, index, signal)));
  const policy = await openTrainingPolicy({ model, config: trainer, cacheDir });
  try {
    policy.load(version, trainer.seed);
    const mismatch = await measureMismatch(policy.learner, steps, trainer.tokensPerMicroBatch);
    if (!mismatch) throw new RangeError('at least one sample is needed');
    return mismatch;
  } finally {
    await policy.close();
  }
}

async function sample({ engine, model, version, maxTokens }: AgreementOptions, index: number, signal: AbortSignal): Promise<TrainingStep> {
  const promptTokenIds = promptOf(model, questions[index % questions.length] ?? '');
  const ids: number[] = [];
  const logprobs: number[] = [];
  const request = {
    promptTokenIds, n: 1, maxTokens, stopTokenIds: model.config.eosTokenIds, topLogprobs: 0, version: version.version,
    sampling: { temperature: 1, topP: 1, topK: 0, minP: 0, seed: index, ...NO_PENALTIES },
  };
  for await (const event of engine.generate(request, signal)) {
    if (event.type !== 'token') continue;
    ids.push(event.token.id);
    logprobs.push(event.token.logprob);
  }
  const id = `sample-${index}`;
  return {
    id, attemptId: id, rolloutId: id, taskId: id, promptTokenIds, sequence: 0, temperature: 1, staleness: 0, truncated: false,
    completionTokenIds: Int32Array.from(ids), behaviourLogprobs: Float32Array.from(logprobs),
    versionSpans: [{ version: version.version, from: 0, to: ids.length }],
  };
}

/** By the model's chat template, or plain text where it has none. */
export function promptOf(model: Model, question: string): Int32Array {
  if (model.chatTemplate.source === '') return model.tokenizer.encode(question, { addSpecialTokens: true });
  const text = model.chatTemplate.render({ messages: [{ role: 'user', content: question }], addGenerationPrompt: true });
  return model.tokenizer.encode(text);
}
