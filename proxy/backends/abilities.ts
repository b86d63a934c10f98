/** What a policy backend can do, found out by asking it: one short call for each thing. */
import { setTimeout as sleep } from 'node:timers/promises';
import { pulled } from '../pulled.ts';
import type { CaptureDelta, ChatCall, PolicyBackend } from './backend.ts';

/** One line of the matrix. */
export interface Ability {
  readonly name: string;
  /** For a cell of a table: `yes`, `no`, or why steps that use it are not trained on. */
  readonly short: string;
  /** How, or why not. */
  readonly detail: string;
}

interface Heard {
  readonly text: string;
  readonly calls: number;
  readonly capture: readonly CaptureDelta[];
}

const callTimeoutMs = 120_000;
const messages = [{ role: 'user', content: 'Say something about the sea.' }];
const schema = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'], additionalProperties: false };
const tools = [{ type: 'function', function: { name: 'look', description: 'Looks', strict: true, parameters: schema } }];

/** A finding that is neither a plain yes nor an error. */
interface Found {
  readonly short: string;
  readonly detail: string;
}

/** The abilities in the order in which they are printed; each is tried whatever became of the others. */
export async function* probeAbilities(backend: PolicyBackend): AsyncGenerator<Ability> {
  const [model] = await backend.models();
  const ask = (body: object, stream = false): Promise<Heard> => hear(backend, { model: model?.id ?? '', messages, max_tokens: 8, ...body }, stream);
  const rows: readonly (readonly [name: string, probe: () => Promise<Found>])[] = [
    ['ids', async () => exact(await ask({ temperature: 1 }))],
    ['streams', async () => exact(await ask({ temperature: 1 }, true))],
    ['temperature', async () => exact(await ask({ temperature: 0.5 }), 'log-probs of what is sampled from, at any temperature')],
    ['top_p', async () => exact(await ask({ temperature: 1, top_p: 0.5 }), 'log-probs of what is sampled from, cut as it was')],
    ['choices', async () => exact(await ask({ temperature: 1, n: 2 }), 'n = 2, each choice with its ids')],
    ['tools', async () => called(await ask({ temperature: 1, max_tokens: 100, tools, tool_choice: 'required' }))],
    ['schemas', async () => valid(await ask({ temperature: 1, max_tokens: 100, response_format: { type: 'json_schema', json_schema: { name: 'look', strict: true, schema } } }))],
    ['abort', () => aborted(backend, model?.id ?? '')],
  ];
  for (const [name, probe] of rows) yield { name, ...await probe().catch((error: unknown): Found => ({ short: 'no', detail: error instanceof Error ? error.message : String(error) })) };
  const { policies, maxContext } = backend.capabilities();
  yield { name: 'policies', short: policies ? 'yes' : 'no', detail: policies ? 'new versions are taken while it runs' : 'one policy: new versions are not served' };
  yield { name: 'context', short: maxContext === null ? 'not said' : String(maxContext), detail: maxContext === null ? 'not said' : `${maxContext} tokens` };
}

const yes = (detail: string): Found => ({ short: 'yes', detail });
const no = (detail: string): Found => ({ short: 'no', detail });

/** Why a choice would be left out of training, or null. */
function reasonOf(capture: readonly CaptureDelta[]): string | null {
  for (const deltas of Map.groupBy(capture, ({ choice }) => choice).values()) {
    const reason = deltas.find(({ quarantine }) => quarantine !== undefined)?.quarantine;
    if (reason !== undefined) return reason;
    const ids = deltas.flatMap(({ tokenIds }) => tokenIds ?? []), logprobs = deltas.flatMap((delta) => delta.logprobs ?? []);
    if (!deltas.some(({ promptTokenIds }) => promptTokenIds !== undefined) || ids.length === 0 || ids.length !== logprobs.length) return 'inexact';
  }
  return null;
}

function exact({ capture }: Heard, detail = 'token ids of prompt and completion, a log-prob for each'): Found {
  const reason = reasonOf(capture);
  return reason === null ? yes(detail) : { short: reason, detail: `served, and recorded as "${reason}"` };
}

function called({ calls, capture }: Heard): Found {
  return calls === 0 ? no('asked for a call, it gave text') : exact({ text: '', calls, capture }, 'calls are read; log-probs are of what was sampled from');
}

function valid({ text, capture }: Heard): Found {
  const said: unknown = JSON.parse(text);
  const isValid = typeof said === 'object' && said !== null && 'ok' in said && typeof said.ok === 'boolean';
  return isValid ? exact({ text, calls: 0, capture }, 'answers are of the schema; log-probs are of what was sampled from') : no(`the answer is not of the schema: ${text}`);
}

/** Ends a stream at its first frame and sees that nothing holds it up. */
async function aborted(backend: PolicyBackend, model: string): Promise<Found> {
  const controller = new AbortController();
  const reply = await backend.chat(callOf({ model, messages, max_tokens: 64, temperature: 1, stream: true }, true), controller.signal);
  if (reply.kind !== 'stream') return no('a stream was asked for, it gave one body');
  const frames = pulled(reply.frames);
  await frames.next();
  const abortedAt = performance.now();
  controller.abort();
  const drained = (async () => { while (!(await frames.next()).done); })().catch(() => undefined);
  const isInTime = await Promise.race([drained.then(() => true), sleep(1000, false, { ref: false })]);
  return isInTime ? yes(`a stream ends ${Math.ceil(performance.now() - abortedAt)} ms after its abort`) : no('the stream goes on a second after its abort');
}

const callOf = (body: Readonly<Record<string, unknown>>, stream: boolean): ChatCall => ({ body, stream, headers: {}, version: null, rollout: 'probe', responseId: 'chatcmpl-probe' });

async function hear(backend: PolicyBackend, body: Readonly<Record<string, unknown>>, stream: boolean): Promise<Heard> {
  const reply = await backend.chat(callOf(stream ? { ...body, stream } : body, stream), AbortSignal.timeout(callTimeoutMs));
  if (reply.kind === 'json') {
    const { choices } = reply.body as { choices: { message: { content: string | null; tool_calls?: unknown[] } }[] }; // an OpenAI chat completion
    const [choice] = choices;
    return { text: choice?.message.content ?? '', calls: choice?.message.tool_calls?.length ?? 0, capture: reply.capture };
  }
  const capture: CaptureDelta[] = [];
  await reply.frames((frames) => {
    for (const frame of frames) capture.push(...frame.capture);
    return undefined;
  });
  return { text: '', calls: 0, capture };
}
