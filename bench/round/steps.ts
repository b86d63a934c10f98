/** Recorded experience of a given size: groups of rollouts of one call each, with the log-probs that the policy has. */
import type { Database } from '../../store/open.ts';
import { giveReward } from '../../store/rewards.ts';
import { createRollout, endRollout } from '../../store/rollouts.ts';
import { completeSteps, openSteps } from '../../store/step-writes.ts';
import { type BatchStep, mergeSteps, planMicroBatches } from '../../trainer/batch.ts';
import type { Learner } from '../../trainer/learner.ts';
import { seededRandom } from '../../trainer/random.ts';

export interface Size {
  readonly groups: number;
  /** Rollouts of a task. */
  readonly group: number;
  /** Prompt and completion of a call, about half each. */
  readonly tokens: number;
  readonly vocabSize: number;
  readonly tokensPerMicroBatch: number;
}

/** Random tokens; the members of a group share their prompt. */
export function randomSteps({ groups, group, tokens, vocabSize }: Size, seed: number): BatchStep[] {
  const random = seededRandom(seed);
  const text = (length: number): Int32Array => Int32Array.from({ length }, () => Math.floor(random() * vocabSize));
  const about = (length: number): number => Math.round(length * (0.7 + 0.6 * random()));
  return Array.from({ length: groups }, (_, task) => {
    const prompt = text(about(tokens / 2));
    return Array.from({ length: group }, (_, member): BatchStep => (
      { id: `${seed}_${task}_${member}`, attemptId: `${seed}_${task}_${member}`, promptTokenIds: prompt, completionTokenIds: text(about(tokens / 2)), temperature: 1 }
    ));
  }).flat();
}

/** As if `version`, which the learner holds, had sampled them, with random rewards. */
export async function recordSteps(db: Database, learner: Learner, size: Size & { readonly version: number }): Promise<void> {
  const steps = randomSteps(size, 1 + size.version);
  const logprobs = steps.map(({ completionTokenIds }) => new Float32Array(completionTokenIds.length));
  for (const { batch, stepOfEntry, tokenOfEntry } of planMicroBatches(mergeSteps(steps), size.tokensPerMicroBatch, {})) {
    const result = await learner.forward(batch);
    for (const [m, step] of stepOfEntry.entries()) logprobs[step]?.set([result.logprobs[m] ?? NaN], tokenOfEntry[m]);
  }
  const random = seededRandom(1000 + size.version);
  for (const [i, { id, promptTokenIds, completionTokenIds }] of steps.entries()) {
    const { rollout, attempt } = createRollout(db, { id: `ro_${id}`, mode: 'train', taskId: `task-${size.version}-${Math.floor(i / size.group)}`, at: i });
    openSteps(db, [{
      id: `st_${id}`, callId: `ca_${id}`, choice: 0, rolloutId: rollout.id, attemptId: attempt.id, agent: 'default', sequence: 0, parentStepId: null, dialect: 'chat', model: 'bench',
      responseId: null, request: null, sampling: { temperature: 1, topP: 1, topK: 0, minP: 0, seed: null, maxTokens: completionTokenIds.length, stop: [] }, createdAt: 1000 + i,
    }]);
    completeSteps(db, [{
      id: `st_${id}`, state: 'complete', responseId: null, response: null, promptIds: promptTokenIds, completionIds: completionTokenIds, logprobs: logprobs[i] ?? new Float32Array(0),
      versionSpans: [{ version: size.version, from: 0, to: completionTokenIds.length }], finishReason: 'stop', usage: null, queueMs: null, firstTokenMs: null, totalMs: null, quarantineReason: null, error: null, endedAt: 2000 + i,
    }]);
    giveReward(db, { target: { rolloutId: rollout.id }, value: random(), source: 'agent' });
    endRollout(db, { rolloutId: rollout.id, state: 'succeeded' });
  }
}
