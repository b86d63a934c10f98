import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Candidate, type SelectionRules, selectSteps } from '../../trainer/select.ts';

const rules: SelectionRules = { baseVersion: 5, maxStaleness: 1, maxSteps: 100, acceptTruncatedSampling: false, grouped: true };
const good: Candidate = {
  id: 'st_1', callId: 'ca_1', choice: 0, rolloutId: 'ro_1', attemptId: 'at_1', lastAttemptId: 'at_1', taskId: 'task', mode: 'train', rolloutState: 'succeeded', rewarded: true,
  agent: 'default', sequence: 0, parentStepId: null, state: 'complete', quarantineReason: null, finishReason: 'stop', createdAt: 1,
  sampling: { temperature: 0.7, topP: 1, topK: 0, minP: 0, seed: null, maxTokens: 10, stop: [] },
  versionSpans: [{ version: 5, from: 0, to: 2 }], promptIds: Int32Array.of(1), completionIds: Int32Array.of(2, 3), logprobs: Float32Array.of(-1, -2),
};
const sampling = (change: Partial<NonNullable<Candidate['sampling']>>) => ({ sampling: good.sampling && { ...good.sampling, ...change } });

/** What a step must be like to be left out, and why; `null`: it goes in. */
const cases: readonly [name: string, step: Partial<Candidate>, reason: string | null, rules?: Partial<SelectionRules>][] = [
  ['as it should be', {}, null],
  ['of a live rollout with a reward and a task', { mode: 'live' }, null],
  ['of a failed rollout that has a reward', { rolloutState: 'failed' }, null],
  ['a little stale', { versionSpans: [{ version: 4, from: 0, to: 2 }] }, null],
  ['of a running rollout', { rolloutState: 'running' }, 'rollout_running'],
  ['of a live rollout that goes on and was judged', { rolloutState: 'running', mode: 'live' }, null],
  ['of a live rollout that goes on and was not', { rolloutState: 'running', mode: 'live', rewarded: false }, 'no_reward'],
  ['without a task', { taskId: null }, 'no_group'],
  ['without a task, for an algorithm that needs none', { taskId: null }, null, { grouped: false }],
  ['without a reward', { rewarded: false }, 'no_reward'],
  ['of an attempt that was tried again', { lastAttemptId: 'at_2' }, 'superseded_attempt'],
  ['aborted by its client', { state: 'client_aborted' }, 'incomplete'],
  ['quarantined', { quarantineReason: 'length_mismatch' }, 'quarantined'],
  ['without token ids', { completionIds: null }, 'inexact'],
  ['without log-probs', { logprobs: null }, 'inexact'],
  ['with an empty completion', { completionIds: new Int32Array(0), logprobs: new Float32Array(0) }, 'inexact'],
  ['of an agent that is trained', {}, null, { agents: ['default'] }],
  ['of an agent that is not trained', {}, 'other_agent', { agents: ['writer'] }],
  ['greedy', sampling({ temperature: 0 }), 'greedy'],
  ['sampled with top_p', sampling({ topP: 0.9 }), 'truncated_sampling'],
  ['sampled with top_k', sampling({ topK: 40 }), 'truncated_sampling'],
  ['sampled with min_p', sampling({ minP: 0.1 }), 'truncated_sampling'],
  ['sampled with a penalty', sampling({ presencePenalty: 0.5 }), 'penalized_sampling'],
  ['sampled with a logit bias', sampling({ biased: true }), 'penalized_sampling'],
  ['held by a grammar', sampling({ constrained: true }), 'constrained_sampling'],
  ['held by a grammar, accepted', sampling({ constrained: true }), null, { acceptTruncatedSampling: true }],
  ['sampled with top_p, accepted', sampling({ topP: 0.9 }), null, { acceptTruncatedSampling: true }],
  ['of an unknown version', { versionSpans: null }, 'unknown_version'],
  ['stale', { versionSpans: [{ version: 3, from: 0, to: 2 }] }, 'stale'],
  ['begun by a stale version', { versionSpans: [{ version: 3, from: 0, to: 1 }, { version: 4, from: 1, to: 2 }] }, 'stale'],
  ['sampled by a version that was rolled back', { versionSpans: [{ version: 6, from: 0, to: 2 }] }, 'newer_version'],
];

for (const [name, step, reason, change] of cases) {
  await test(`a step ${name} ${reason === null ? 'is selected' : `is left out: ${reason}`}`, () => {
    const { selected, leftOut } = selectSteps([{ ...good, ...step }], { ...rules, ...change });
    assert.deepEqual(leftOut.map((left) => left.reason), reason === null ? [] : [reason]);
    assert.equal(selected.length, reason === null ? 1 : 0);
  });
}

await test('the limit takes whole rollouts, the newest first', () => {
  const rollout = (id: string, createdAt: number, steps: number): Candidate[] => Array.from({ length: steps }, (_, sequence) => ({ ...good, id: `${id}/${sequence}`, rolloutId: id, sequence, createdAt }));
  const { selected, leftOut } = selectSteps([...rollout('ro_old', 1, 2), ...rollout('ro_big', 2, 4), ...rollout('ro_new', 3, 3)], { ...rules, maxSteps: 5 });
  assert.deepEqual(selected.map(({ candidate }) => candidate.id), ['ro_new/0', 'ro_new/1', 'ro_new/2', 'ro_old/0', 'ro_old/1']);
  assert.deepEqual(new Set(leftOut.map(({ candidate, reason }) => `${candidate.rolloutId} ${reason}`)), new Set(['ro_big limit']));
});

await test('staleness is counted from the oldest token, and the order does not depend on the order given', () => {
  const steps: Candidate[] = [{ ...good, id: 'b', sequence: 1, versionSpans: [{ version: 4, from: 0, to: 1 }, { version: 5, from: 1, to: 2 }] }, { ...good, id: 'a' }];
  for (const given of [steps, steps.toReversed()]) {
    assert.deepEqual(selectSteps(given, rules).selected.map(({ candidate, staleness }) => [candidate.id, staleness]), [['a', 0], ['b', 1]]);
  }
});
