import assert from 'node:assert/strict';
import { test } from 'node:test';
import { logprobAt } from '../../../../proxy/backends/llamacpp/rescoring.ts';

const logits = [2, 1, 0, -1, -30, -31];
const norm = (temperature: number) => Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit / temperature), 0));
const logprobs = new Map(logits.map((logit, id) => [id, logit - norm(1)]));
const near = (a: number | null, b: number) => { assert.ok(a !== null && Math.abs(a - b) < 1e-5, `${a} is not ${b}`); };

test('a log-prob at another temperature follows from all that weigh', () => {
  for (const temperature of [0.3, 0.7, 1, 1.5]) near(logprobAt(logprobs, 2, temperature, logits.length), (logits[2] ?? NaN) / temperature - norm(temperature));
  const likeliest = new Map([...logprobs].slice(0, 5));
  near(logprobAt(likeliest, 2, 0.7, 6), 0 - norm(0.7));
});

test('what is not listed, or might weigh, is not guessed', () => {
  const three = new Map([...logprobs].slice(0, 3));
  assert.equal(logprobAt(three, 4, 1, 6), null);
  assert.equal(logprobAt(three, 0, 0.7, 6), null);
  near(logprobAt(three, 0, 1, 6), 2 - norm(1));
});
