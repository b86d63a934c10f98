/** Steps for the store's tests. Loads nothing heavy: a process that is started many times imports it. */
import { newId } from '../../store/ids.ts';
import type { CompleteStep, OpenStep } from '../../store/step-writes.ts';

/** What of a rollout a step refers to. */
interface Place { readonly rollout: { readonly id: string }; readonly attempt: { readonly id: string } }

export function openStep({ rollout, attempt }: Place, given: Partial<OpenStep> = {}): OpenStep {
  return {
    id: newId('st'), callId: newId('ca'), choice: 0, rolloutId: rollout.id, attemptId: attempt.id, agent: 'default', sequence: 0,
    parentStepId: null, dialect: 'chat', model: 'demo', responseId: null, request: '{"messages":[]}',
    sampling: { temperature: 1, topP: 1, topK: 0, minP: 0, seed: null, maxTokens: 16, stop: [] }, createdAt: 1000, ...given,
  };
}

export function completeStep(id: string, given: Partial<CompleteStep> = {}): CompleteStep {
  return {
    id, state: 'complete', responseId: `chatcmpl-${id}`, response: '{"choices":[]}', promptIds: Int32Array.of(1, 2, 3),
    completionIds: Int32Array.of(4, 5), logprobs: Float32Array.of(-0.5, -0.25), versionSpans: [{ version: 0, from: 0, to: 2 }],
    finishReason: 'stop', usage: { promptTokens: 3, completionTokens: 2 }, queueMs: 1, firstTokenMs: 2, totalMs: 3,
    quarantineReason: null, error: null, endedAt: 2000, ...given,
  };
}
