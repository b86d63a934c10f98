/**
 * What capture needs to know of a chat request. Everything else is the backend's business: a field that this file does not name
 * passes unread, so that servers with more fields than OpenAI's work behind the proxy.
 */
import type { SamplingParams } from '../../store/schema.ts';
import { Fields } from '../dialects/fields.ts';
import type { Message } from './inference.ts';

export interface ChatEnvelope {
  /** As it came. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly model: string;
  readonly messages: readonly Message[];
  readonly stream: boolean;
  readonly n: number;
  readonly sampling: SamplingParams;
}

/** @throws ApiError 400 that names the field. */
export function parseEnvelope(json: unknown): ChatEnvelope {
  const body = new Fields(json);
  const messages = body.required('messages', body.array('messages')).map((message, index) => parseMessage(message, `messages[${index}]`));
  return {
    body: body.json,
    model: body.required('model', body.string('model')),
    messages,
    stream: body.boolean('stream') ?? false,
    n: body.integer('n', { min: 1, max: 128 }) ?? 1,
    sampling: {
      temperature: body.number('temperature') ?? 1,
      topP: body.number('top_p') ?? 1,
      topK: Math.max(body.integer('top_k') ?? 0, 0),
      minP: body.number('min_p') ?? 0,
      seed: body.integer('seed') ?? null,
      // 0: as many as the context holds.
      maxTokens: body.integer('max_completion_tokens') ?? body.integer('max_tokens') ?? 0,
      stop: parseStop(body.raw('stop')),
      ...parsePenalties(body),
      ...(isConstrained(body) ? { constrained: true } : {}),
    },
  };
}

function parseMessage(value: unknown, path: string): Message {
  const message = new Fields(value, path);
  message.required('role', message.string('role'));
  return message.json as Readonly<Record<string, unknown>> & Message; // its role was read just now
}

/** Those that are on: a step that has none is recorded as before there were any. */
function parsePenalties(body: Fields): Pick<SamplingParams, 'repetitionPenalty' | 'frequencyPenalty' | 'presencePenalty' | 'biased'> {
  const repetitionPenalty = body.number('repetition_penalty') ?? 1;
  const frequencyPenalty = body.number('frequency_penalty') ?? 0;
  const presencePenalty = body.number('presence_penalty') ?? 0;
  return {
    ...(repetitionPenalty === 1 ? {} : { repetitionPenalty }),
    ...(frequencyPenalty === 0 ? {} : { frequencyPenalty }),
    ...(presencePenalty === 0 ? {} : { presencePenalty }),
    ...(Object.keys(body.object('logit_bias')?.json ?? {}).length === 0 ? {} : { biased: true }),
  };
}

/** Whether a grammar may have held the answer: by its format, by a tool that must be called, or by strict tools. */
function isConstrained(body: Fields): boolean {
  const format = body.raw('response_format');
  if (typeof format === 'object' && format !== null && 'type' in format && format.type !== 'text') return true;
  const tools = body.raw('tools'), choice = body.raw('tool_choice') ?? 'auto';
  if (!Array.isArray(tools) || tools.length === 0 || choice === 'none') return false;
  return choice !== 'auto' || tools.some((tool: unknown) => isStrict(tool));
}

function isStrict(tool: unknown): boolean {
  if (typeof tool !== 'object' || tool === null || !('function' in tool)) return false;
  const definition = tool.function;
  return typeof definition === 'object' && definition !== null && 'strict' in definition && definition.strict === true;
}

function parseStop(stop: unknown): string[] {
  const given: readonly unknown[] = Array.isArray(stop) ? stop : [stop];
  return given.filter((text) => typeof text === 'string');
}
