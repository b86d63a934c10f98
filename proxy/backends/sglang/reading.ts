/** The events of SGLang's `/generate` → what was sampled. Pure. */
import type { GenerateEvent } from '../../../engine/engine.ts';
import { UpstreamError } from '../../errors.ts';
import { isRecord, type JsonObject } from '../openai/json.ts';
import { inexact } from '../openai/recording.ts';
import type { TokenEvent } from '../tokens/engine.ts';

export interface Reading {
  readonly promptTokens: number;
  readonly version: number;
}

/** `[logprob, id, text or null]` of one token (`detokenize_logprob_tokens`). */
type Entry = readonly [logprob: number, id: number];

export class GenerateReader {
  readonly #reading: Reading;
  /** Tokens of each choice that were read; null once it has ended. */
  readonly #read: (number | null)[];

  constructor(n: number, reading: Reading) {
    this.#reading = reading;
    this.#read = Array.from({ length: n }, () => 0);
  }

  get hasEnded(): boolean {
    return this.#read.every((tokens) => tokens === null);
  }

  /** @throws UpstreamError where the event reports an error, or is not one of a generation with log-probs */
  read(event: JsonObject): TokenEvent[] {
    const { error, index = 0, meta_info: meta } = event;
    if (isRecord(error)) throw failed(error, event);
    if (typeof index !== 'number' || !isRecord(meta)) throw invalid(event);
    const read = this.#read[index];
    if (read === undefined) throw invalid(event);
    if (read === null) return [];
    const { output_token_logprobs: listed, output_top_logprobs: alternatives, finish_reason: finish, prompt_tokens: promptTokens } = meta;
    if (isRecord(finish) && finish['type'] === 'abort') throw failed(finish, event);
    const entries = Array.isArray(listed) ? listed.map((entry) => entryOf(entry, event)) : [];
    // Events tell all that there is so far; with --incremental-streaming-output what is new only. The count is of all.
    const total = typeof meta['output_token_logprobs_length'] === 'number' ? meta['output_token_logprobs_length'] : entries.length;
    const first = entries.length - (total - read);
    if (first < 0) throw invalid(event);
    const tops: readonly unknown[] = Array.isArray(alternatives) ? alternatives : [];
    const events: TokenEvent[] = entries.slice(first).map((entry, i) => this.#token(index, entry, tops[first + i], event));
    this.#read[index] = total;
    if (!isRecord(finish)) return events;
    this.#read[index] = null;
    const isWhole = promptTokens === this.#reading.promptTokens && meta['completion_tokens'] === total;
    if (!isWhole) events.push({ type: 'unusable', choice: index, reason: inexact });
    return [...events, { type: 'finished', choice: index, reason: finish['type'] === 'length' ? 'length' : 'stop' }];
  }

  #token(choice: number, [logprob, id]: Entry, top: unknown, event: JsonObject): GenerateEvent {
    const alternatives = Array.isArray(top) ? top.map((entry) => entryOf(entry, event)) : [];
    return { type: 'token', choice, token: { id, logprob, rawLogprob: logprob, top: alternatives.map(([value, other]) => ({ id: other, logprob: value })), version: this.#reading.version } };
  }
}

function entryOf(entry: unknown, event: JsonObject): Entry {
  if (!Array.isArray(entry)) throw invalid(event);
  const [logprob, id]: unknown[] = entry;
  if (typeof logprob !== 'number' || typeof id !== 'number') throw invalid(event);
  return [logprob, id];
}

/** The status that SGLang would have answered with, had it not begun the stream before it looked at the request. */
function failed({ message, code, status_code: status = code }: JsonObject, event: JsonObject): UpstreamError {
  const text = typeof message === 'string' ? message : 'SGLang ended the generation.';
  return new UpstreamError(typeof status === 'number' && status >= 400 && status < 600 ? status : 502, text, isRecord(event['error']) ? event : null, { code: 'upstream_failed' });
}

const invalid = (event: JsonObject): UpstreamError =>
  new UpstreamError(502, `SGLang sent an event that is not one of a generation with log-probs: ${JSON.stringify(event).slice(0, 200)}`, null, { code: 'upstream_invalid' });
