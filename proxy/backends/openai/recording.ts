/** What capture keeps of an answer: the engine's own ids and log-probs, by choice. */
import type { Usage } from '../../../store/schema.ts';
import type { CaptureDelta } from '../backend.ts';
import { isRecord, numbers, records, type JsonObject } from './json.ts';

/** Why a choice is not trained on: the server did not say exactly what its engine read and wrote. */
export const inexact = 'inexact';

interface Seen {
  prompt: boolean;
  ids: number;
  logprobs: number;
  finished: boolean;
}

/** Reads bodies and chunks of one call, and knows in the end which of its choices are whole. */
export class Recording {
  readonly #choices = new Map<number, Seen>();
  readonly #version: number;
  readonly #unusable: string | null;

  /**
   * @param version to note beside the ids
   * @param unusable why the call must not be trained on, whatever its answer says; or null
   */
  constructor(version: number, unusable: string | null = null) {
    this.#version = version;
    this.#unusable = unusable;
  }

  /** What one body or chunk adds. Prompt ids stand at the top in vLLM's chat answers; every choice gets them once. */
  read(answer: JsonObject): CaptureDelta[] {
    const usage = usageOf(answer['usage']);
    const deltas = records(answer['choices']).map((choice) => this.#readChoice(answer, choice));
    if (usage === null) return deltas;
    const [first = { choice: 0 }, ...rest] = deltas;
    return [{ ...first, usage }, ...rest];
  }

  /** Marks what is not exact. To be called once the answer is complete. */
  close(): CaptureDelta[] {
    return [...this.#choices].flatMap(([choice, seen]) => {
      const quarantine = isExact(seen) ? this.#unusable : inexact;
      return quarantine === null ? [] : [{ choice, quarantine }];
    });
  }

  get exact(): boolean {
    return this.#choices.size > 0 && [...this.#choices.values()].every(isExact);
  }

  get finished(): boolean {
    return this.#choices.size > 0 && [...this.#choices.values()].every((seen) => seen.finished);
  }

  #readChoice(answer: JsonObject, choice: JsonObject): CaptureDelta {
    const index = typeof choice['index'] === 'number' ? choice['index'] : 0;
    const seen = this.#choices.get(index) ?? { prompt: false, ids: 0, logprobs: 0, finished: false };
    this.#choices.set(index, seen);

    const prompt = seen.prompt ? undefined : numbers(choice['prompt_token_ids']) ?? numbers(answer['prompt_token_ids']);
    const tokenIds = numbers(choice['token_ids']);
    const logprobs = logprobsOf(choice['logprobs']);
    const finishReason = choice['finish_reason'];
    seen.prompt ||= prompt !== undefined;
    seen.ids += tokenIds?.length ?? 0;
    seen.logprobs += logprobs?.length ?? 0;
    seen.finished ||= typeof finishReason === 'string';
    return {
      choice: index,
      ...(prompt === undefined ? {} : { promptTokenIds: Int32Array.from(prompt) }),
      ...(tokenIds === undefined ? {} : { tokenIds, version: this.#version }),
      // Log-probs without ids say nothing that could be trained on.
      ...(logprobs === undefined || (tokenIds === undefined && seen.ids === 0) ? {} : { logprobs }),
      ...(typeof finishReason === 'string' ? { finishReason } : {}),
    };
  }
}

const isExact = (seen: Seen): boolean => seen.prompt && seen.ids > 0 && seen.ids === seen.logprobs;

function logprobsOf(value: unknown): readonly number[] | undefined {
  if (!isRecord(value) || !Array.isArray(value['content'])) return undefined;
  return numbers(records(value['content']).map((entry) => entry['logprob']));
}

function usageOf(value: unknown): Usage | null {
  if (!isRecord(value)) return null;
  const { prompt_tokens: promptTokens, completion_tokens: completionTokens } = value;
  if (typeof promptTokens !== 'number' || typeof completionTokens !== 'number') return null;
  return { promptTokens, completionTokens };
}
