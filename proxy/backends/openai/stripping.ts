/**
 * What the client sees of an answer: what it would have seen had the proxy asked for nothing. Pure. Fields are emptied, not
 * deleted: vLLM writes them as null where they were not asked for.
 */
import type { Asked } from './asking.ts';
import { isRecord, records, type JsonObject } from './json.ts';

function emptied(object: JsonObject, fields: readonly string[]): JsonObject {
  const present = fields.filter((field) => (object[field] ?? null) !== null);
  return present.length === 0 ? object : { ...object, ...Object.fromEntries(present.map((field) => [field, null])) };
}

/** A body or chunk without what only the proxy asked for, under the name that the client used. Untouched answers are the same object. */
export function strip(answer: JsonObject, asked: Asked): JsonObject {
  const choiceFields = [...(asked.tokenIds ? ['token_ids', 'prompt_token_ids'] : []), ...(asked.logprobs ? ['logprobs'] : [])];
  let visible = asked.tokenIds ? emptied(answer, ['prompt_token_ids', 'prompt_text']) : answer;
  const before = records(answer['choices']);
  const choices = before.map((choice) => emptied(choice, choiceFields));
  if (choices.some((choice, i) => choice !== before[i])) visible = { ...visible, choices };
  if (asked.model !== undefined && 'model' in visible) visible = { ...visible, model: asked.model };
  // OpenAI writes `usage: null` into every chunk of a stream that ends with usage.
  if (asked.usage && visible['usage'] === null) {
    const { usage: _, ...rest } = visible;
    visible = rest;
  }
  return visible;
}

/** The chunk that exists only because usage was asked for. */
export const isUsageChunk = (chunk: JsonObject): boolean =>
  Array.isArray(chunk['choices']) && chunk['choices'].length === 0 && isRecord(chunk['usage']);

/** What a usage chunk says beside usage (vLLM's fingerprint, llama.cpp's timings) stands on the last chunk when there is none. */
export function withExtras(last: JsonObject, usageChunk: JsonObject): JsonObject {
  const { choices: _, usage: __, ...extras } = usageChunk;
  return { ...extras, ...last };
}

/** A chunk that says nothing once it is stripped: servers send those only to carry ids and log-probs. */
export function saysNothing(chunk: JsonObject): boolean {
  const choices = records(chunk['choices']);
  return choices.length > 0 && (chunk['usage'] ?? null) === null && choices.every((choice) =>
    isRecord(choice['delta']) && Object.keys(choice['delta']).length === 0 && (choice['finish_reason'] ?? null) === null && (choice['logprobs'] ?? null) === null);
}
