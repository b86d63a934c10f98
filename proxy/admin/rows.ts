/** Rows of the store as they stand on the wire: snake_case, ids and log-probs as arrays of numbers, bodies as JSON. */
import type { RewardBody } from './wire.ts';
import type { Page as StorePage } from '../../store/page.ts';
import type { Reward } from '../../store/rewards.ts';
import type { Step, StepSummary } from '../../store/steps.ts';
import { answersOfChunks, parseChunk } from '../capture/answer.ts';
import type { Page } from './wire.ts';

/** `{rolloutId}` → `{rollout_id}`, one level deep: what is inside is the caller's own. */
export function snakeKeys(row: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(row).map(([key, value]) => [key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), value]));
}

export function listOf<Row, Wire>(page: StorePage<Row>, toWire: (row: Row) => Wire): Page<Wire> {
  return { object: 'list', data: page.items.map(toWire), next_cursor: page.nextCursor };
}

export function stepSummaryRow(step: StepSummary): object {
  return {
    ...snakeKeys(step),
    object: 'step',
    sampling: step.sampling && snakeKeys(step.sampling),
    usage: step.usage && snakeKeys(step.usage),
  };
}

export function stepRow({ promptIds, completionIds, logprobs, request, response, ...summary }: Step): object {
  return {
    ...stepSummaryRow({ ...summary, promptTokens: promptIds?.length ?? null, completionTokens: completionIds?.length ?? null }),
    prompt_ids: promptIds && [...promptIds],
    completion_ids: completionIds && [...completionIds],
    logprobs: logprobs && [...logprobs],
    request: request && parseChunk(request),
    response: response && responseOf(parseChunk(response)),
  };
}

export function rewardRow(reward: Reward): object {
  return { ...snakeKeys(reward), object: 'reward' };
}

/** A stored stream also shows the messages that its chunks make. */
function responseOf(response: unknown): unknown {
  if (typeof response !== 'object' || response === null || !('chunks' in response) || !Array.isArray(response.chunks)) return response;
  const texts: readonly unknown[] = response.chunks;
  const chunks = texts.filter((chunk) => typeof chunk === 'string');
  return { ...response, messages: [...answersOfChunks(chunks).values()], chunk_count: chunks.length };
}

/** What a reward is given to, as the store names it; null where the body names nothing. */
export function rewardTarget(body: RewardBody) {
  if (body.step !== undefined) return { stepId: body.step };
  if (body.response_id !== undefined) return { responseId: body.response_id, choice: body.choice ?? 0 };
  return body.rollout === undefined ? null : { rolloutId: body.rollout };
}
