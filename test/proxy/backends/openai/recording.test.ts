import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Recording } from '../../../../proxy/backends/openai/recording.ts';

const content = (...logprobs: number[]) => ({ content: logprobs.map((logprob) => ({ token: 'x', logprob })) });
const whole = { index: 0, token_ids: [5, 2], logprobs: content(-0.5, -1), finish_reason: 'stop' };

/** The reason why the only choice is not trained on, after these answers. */
function quarantineOf(answers: readonly Record<string, unknown>[], unusable: string | null = null): string | undefined {
  const recording = new Recording(0, unusable);
  for (const answer of answers) recording.read(answer);
  return recording.close()[0]?.quarantine;
}

const cases: readonly (readonly [what: string, answers: readonly Record<string, unknown>[], quarantine: string | undefined])[] = [
  ['all ids at the top', [{ prompt_token_ids: [1], choices: [whole] }], undefined],
  ['prompt ids beside the choice', [{ choices: [{ ...whole, prompt_token_ids: [1] }] }], undefined],
  ['no prompt ids', [{ choices: [whole] }], 'inexact'],
  ['no ids', [{ prompt_token_ids: [1], choices: [{ ...whole, token_ids: null }] }], 'inexact'],
  ['no log-probs', [{ prompt_token_ids: [1], choices: [{ ...whole, logprobs: null }] }], 'inexact'],
  ['neither', [{ prompt_token_ids: [1], choices: [{ index: 0, finish_reason: 'stop' }] }], 'inexact'],
  ['fewer log-probs than ids', [{ prompt_token_ids: [1], choices: [{ ...whole, logprobs: content(-1) }] }], 'inexact'],
  ['a log-prob that is no number', [{ prompt_token_ids: [1], choices: [{ ...whole, logprobs: { content: [{ logprob: null }, { logprob: -1 }] } }] }], 'inexact'],
  ['log-probs that come after their ids', [
    { prompt_token_ids: [1], choices: [{ index: 0, token_ids: [5, 2] }] }, { choices: [{ index: 0, logprobs: content(-0.5, -1), finish_reason: 'stop' }] },
  ], undefined],
];

for (const [what, answers, quarantine] of cases) {
  test(`${what}: ${quarantine ?? 'exact'}`, () => { assert.equal(quarantineOf(answers), quarantine); });
}

test('a call that is unusable for another reason says that reason', () => {
  assert.equal(quarantineOf([{ prompt_token_ids: [1], choices: [whole] }], 'raw_logprobs'), 'raw_logprobs');
});

test('prompt ids that every chunk repeats are kept once for each choice; usage once', () => {
  const recording = new Recording(3);
  const chunk = (index: number) => ({ prompt_token_ids: [1, 7], choices: [{ index, token_ids: [5], logprobs: content(-1) }], usage: { prompt_tokens: 2, completion_tokens: 1 } });
  const [first] = recording.read(chunk(0)), [second] = recording.read(chunk(1)), [again] = recording.read(chunk(0));
  assert.deepEqual(first, { choice: 0, promptTokenIds: Int32Array.of(1, 7), tokenIds: [5], logprobs: [-1], version: 3, usage: { promptTokens: 2, completionTokens: 1 } });
  assert.deepEqual(second?.promptTokenIds, Int32Array.of(1, 7));
  assert.equal(again?.promptTokenIds, undefined);
});
