/** The events of llama.cpp's `/completion` → what was sampled. Pure. */
import type { GenerateEvent, SampledToken } from '../../../engine/engine.ts';
import { UpstreamError } from '../../errors.ts';
import { inexact } from '../openai/recording.ts';
import { isRecord, numbers, records, type JsonObject } from '../openai/json.ts';
import type { TokenEvent } from '../tokens/engine.ts';
import type { Probabilities } from './asking.ts';
import type { HiddenTokenFinder } from './hidden-tokens.ts';

export interface Reading {
  readonly probabilities: Probabilities;
  readonly topLogprobs: number;
  readonly promptTokens: number;
  readonly stopTokenIds: readonly number[];
  readonly version: number;
}

/** Tokens whose ids are known by their bytes, and whose log-probs the server has not said. */
export interface Unscored {
  readonly type: 'unscored';
  readonly choice: number;
  /** What the choice sampled before them. */
  readonly before: readonly number[];
  readonly ids: readonly number[];
}

interface Choice {
  readonly ids: number[];
  /** As the server counts them. */
  predicted: number;
  hasEnded: boolean;
  isUsable: boolean;
}

export class CompletionReader {
  readonly #reading: Reading;
  readonly #hidden: HiddenTokenFinder;
  readonly #choices: readonly Choice[];

  constructor(n: number, reading: Reading, hidden: HiddenTokenFinder) {
    this.#reading = reading;
    this.#hidden = hidden;
    this.#choices = Array.from({ length: n }, () => ({ ids: [], predicted: 0, hasEnded: false, isUsable: true }));
  }

  get hasEnded(): boolean {
    return this.#choices.every((choice) => choice.hasEnded);
  }

  /** @throws UpstreamError where the event reports an error, or is not one of a completion */
  read(event: JsonObject): (TokenEvent | Unscored)[] {
    const { error, index = 0, tokens_predicted: predicted, stop } = event;
    if (isRecord(error)) throw new UpstreamError(502, typeof error['message'] === 'string' ? error['message'] : 'llama.cpp failed in the middle of the answer.', event, { code: 'upstream_failed' });
    const choice = typeof index === 'number' ? this.#choices[index] : undefined;
    if (choice === undefined || typeof index !== 'number' || typeof predicted !== 'number') throw invalid(event);
    if (choice.hasEnded) return [];
    return stop === true ? this.#end(choice, index, event, predicted) : this.#tokens(choice, index, event, predicted);
  }

  #tokens(choice: Choice, index: number, event: JsonObject, predicted: number): (TokenEvent | Unscored)[] {
    const ids = numbers(event['tokens']), entries = records(event['completion_probabilities']);
    const [id] = ids ?? [];
    if (ids === undefined || ids.length > 1) throw invalid(event);
    if (id === undefined) return []; // says that the prompt is being read
    const events: (TokenEvent | Unscored)[] = [];
    const skipped = predicted - choice.predicted - 1;
    choice.predicted = predicted;
    if (skipped > 0) {
      const { ids: hidden, isCertain } = this.#hidden.before(id, String(event['content']), skipped);
      if (!isCertain) events.push(...this.#cannotUse(choice, index));
      if (hidden.length > 0) events.push({ type: 'unscored', choice: index, before: [...choice.ids], ids: hidden });
      choice.ids.push(...hidden);
    }
    choice.ids.push(id);
    events.push(tokenEvent(index, this.#sampled(id, entries[0], event)));
    if (this.#reading.stopTokenIds.includes(id)) {
      choice.hasEnded = true;
      events.push({ type: 'finished', choice: index, reason: 'stop' });
    }
    return events;
  }

  #end(choice: Choice, index: number, event: JsonObject, predicted: number): TokenEvent[] {
    choice.hasEnded = true;
    const isWhole = predicted === choice.predicted && event['tokens_evaluated'] === this.#reading.promptTokens;
    const end: GenerateEvent = { type: 'finished', choice: index, reason: event['stop_type'] === 'limit' ? 'length' : 'stop' };
    return isWhole ? [end] : [...this.#cannotUse(choice, index), end];
  }

  #cannotUse(choice: Choice, index: number): TokenEvent[] {
    if (!choice.isUsable) return [];
    choice.isUsable = false;
    return [{ type: 'unusable', choice: index, reason: inexact }];
  }

  #sampled(id: number, entry: JsonObject | undefined, event: JsonObject): SampledToken {
    const { probabilities, topLogprobs, version } = this.#reading;
    const logprob = entry === undefined || entry['id'] !== id ? undefined : logprobOf(entry, probabilities);
    if (logprob === undefined) throw invalid(event);
    const alternatives = records(entry?.[probabilities === 'raw' ? 'top_logprobs' : 'top_probs']);
    const top = alternatives.slice(0, topLogprobs).map((alternative) => ({ id: Number(alternative['id']), logprob: logprobOf(alternative, probabilities) ?? NaN }));
    return { id, logprob, rawLogprob: logprob, top, version };
  }
}

const tokenEvent = (choice: number, token: SampledToken): GenerateEvent => ({ type: 'token', choice, token });

function logprobOf(entry: JsonObject, probabilities: Probabilities): number | undefined {
  const value = entry[probabilities === 'raw' ? 'logprob' : 'prob'];
  if (typeof value !== 'number') return undefined;
  return probabilities === 'raw' ? value : Math.log(value);
}

const invalid = (event: JsonObject): UpstreamError =>
  new UpstreamError(502, `llama.cpp sent an event that is not one of a completion with tokens and probabilities: ${JSON.stringify(event).slice(0, 200)}`, null, { code: 'upstream_invalid' });
