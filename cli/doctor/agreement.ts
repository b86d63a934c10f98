/** Does what samples give the same tokens the same log-probs as the trainer? Measured on fresh samples of one version. */
import type { TrainerConfig } from '../../config/schema.ts';
import type { Engine } from '../../engine/engine.ts';
import { NO_PENALTIES } from '../../engine/penalties.ts';
import type { Model } from '../../model/model.ts';
import type { PolicyBackend } from '../../proxy/backends/backend.ts';
import type { TrainingStep } from '../../trainer/experience.ts';
import { openTrainingPolicy, type PolicyVersion } from '../../trainer/policy.ts';
import { measureMismatch, type Mismatch } from '../../trainer/self-test.ts';
import { RunError } from '../failure.ts';

/** How much the agreement is measured on. */
export interface Sampling {
  readonly samples: number;
  /** Longest completion, in tokens. */
  readonly tokens: number;
}

/** What was sampled: natural log-probs under the distribution it was sampled from. */
export type Sample = Pick<TrainingStep, 'promptTokenIds' | 'completionTokenIds' | 'behaviourLogprobs' | 'temperature'>;

export interface AgreementOptions {
  readonly model: Model;
  readonly version: PolicyVersion;
  readonly trainer: TrainerConfig;
  readonly cacheDir: string;
  readonly samples: number;
  /** Or the reason for which training would leave it out. */
  readonly sample: (index: number, signal: AbortSignal) => Promise<Sample | string>;
}

export interface Agreement extends Mismatch {
  /** Why samples were not compared. */
  readonly leftOut: readonly string[];
}

const questions = [
  'What is the capital of France?', 'Name three colours.', 'Add 12 and 30.', 'Write one sentence about the sea.',
  'Why is the sky blue?', 'List the days of the week.', 'What does a calculator do?', 'Say hello in Spanish.',
];
const questionOf = (index: number): string => questions[index % questions.length] ?? '';

/**
 * Samples, and recomputes with the trainer's own graphs.
 * @returns the mismatch over all sampled tokens, nats
 */
export async function measureAgreement({ trainer, model, cacheDir, version, samples, sample }: AgreementOptions): Promise<Agreement> {
  const signal = AbortSignal.timeout(300_000);
  const all = await Promise.all(Array.from({ length: samples }, (_, index) => sample(index, signal)));
  const sampled = all.filter((sample) => typeof sample !== 'string'), leftOut = all.filter((sample) => typeof sample === 'string');
  if (sampled.length === 0) throw new RunError(`none of ${samples} calls can be trained on: they are recorded as ${leftOut[0]}`);
  const policy = await openTrainingPolicy({ model, config: trainer, cacheDir });
  try {
    policy.load(version, trainer.seed);
    const mismatch = await measureMismatch(policy.learner, sampled.map((tokens, index) => stepOf(tokens, index, version.version)), trainer.tokensPerMicroBatch);
    if (!mismatch) throw new RangeError('at least one sample is needed');
    return { ...mismatch, leftOut };
  } finally {
    await policy.close();
  }
}

function stepOf(sample: Sample, index: number, version: number): TrainingStep {
  const id = `sample-${index}`;
  return {
    ...sample, id, attemptId: id, rolloutId: id, taskId: id, sequence: 0, staleness: 0, truncated: false,
    versionSpans: [{ version, from: 0, to: sample.completionTokenIds.length }],
  };
}

/** The engine alone, at temperature 1: for models without a chat template too. */
export const engineSampler = (engine: Engine, model: Model, version: number, maxTokens: number): AgreementOptions['sample'] => async (index, signal) => {
  const promptTokenIds = promptOf(model, questionOf(index));
  const ids: number[] = [];
  const logprobs: number[] = [];
  const request = {
    promptTokenIds, n: 1, maxTokens, stopTokenIds: model.config.eosTokenIds, topLogprobs: 0, version,
    sampling: { temperature: 1, topP: 1, topK: 0, minP: 0, seed: index, ...NO_PENALTIES },
  };
  for await (const event of engine.generate(request, signal)) {
    if (event.type !== 'token') continue;
    ids.push(event.token.id);
    logprobs.push(event.token.logprob);
  }
  return { promptTokenIds, temperature: 1, completionTokenIds: Int32Array.from(ids), behaviourLogprobs: Float32Array.from(logprobs) };
};

/** A whole backend, at two temperatures in turn. */
export const backendSampler = (backend: PolicyBackend, name: string, maxTokens: number): AgreementOptions['sample'] => async (index, signal) => {
  const temperature = index % 2 === 0 ? 1 : 0.7;
  const body = { model: name, messages: [{ role: 'user', content: questionOf(index) }], temperature, top_p: 1, seed: index, max_tokens: maxTokens };
  const reply = await backend.chat({ body, stream: false, headers: {}, version: null, rollout: 'doctor', responseId: 'chatcmpl-doctor' }, signal);
  if (reply.kind !== 'json') throw new RunError('one body was asked for, and a stream came');
  const reason = reply.capture.find(({ quarantine }) => quarantine !== undefined)?.quarantine;
  if (reason !== undefined) return `"${reason}"`;
  const promptTokenIds = reply.capture.find((delta) => delta.promptTokenIds !== undefined)?.promptTokenIds ?? new Int32Array();
  return {
    promptTokenIds, temperature,
    completionTokenIds: Int32Array.from(reply.capture.flatMap(({ tokenIds }) => tokenIds ?? [])),
    behaviourLogprobs: Float32Array.from(reply.capture.flatMap(({ logprobs }) => logprobs ?? [])),
  };
};

/** By the model's chat template, or plain text where it has none. */
function promptOf(model: Model, question: string): Int32Array {
  if (model.chatTemplate.source === '') return model.tokenizer.encode(question, { addSpecialTokens: true });
  const text = model.chatTemplate.render({ messages: [{ role: 'user', content: question }], addGenerationPrompt: true });
  return model.tokenizer.encode(text);
}
