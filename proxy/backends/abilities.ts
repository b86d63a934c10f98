/** What a policy backend can do, found out by asking it: one short call for each thing. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { CaptureDelta, ChatCall, PolicyBackend } from './backend.ts';

/** One line of the matrix. */
export interface Ability {
  readonly name: string;
  readonly can: boolean;
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
const tools = [{ type: 'function', function: { name: 'look', description: 'Looks', parameters: schema } }];

/** The abilities in the order in which they are printed; each is tried whatever became of the others. */
export async function* probeAbilities(backend: PolicyBackend): AsyncGenerator<Ability> {
  const [model] = await backend.models();
  const ask = (body: object, stream = false): Promise<Heard> => hear(backend, { model: model?.id ?? '', messages, max_tokens: 8, ...body }, stream);
  const rows: readonly (readonly [name: string, probe: () => Promise<string>])[] = [
    ['ids', async () => exact(await ask({ temperature: 1 }))],
    ['streams', async () => exact(await ask({ temperature: 1 }, true))],
    ['temperature', async () => exact(await ask({ temperature: 0.5 }), 'log-probs of what is sampled from, at any temperature')],
    ['top_p', async () => exact(await ask({ temperature: 1, top_p: 0.5 }), 'log-probs of what is sampled from, cut as it was')],
    ['choices', async () => exact(await ask({ temperature: 1, n: 2 }), 'n = 2, each choice with its ids')],
    ['tools', async () => called(await ask({ temperature: 1, max_tokens: 64, tools, tool_choice: 'required' }))],
    ['schemas', async () => valid(await ask({ temperature: 1, max_tokens: 64, response_format: { type: 'json_schema', json_schema: { name: 'look', strict: true, schema } } }))],
    ['abort', () => aborted(backend, model?.id ?? '')],
  ];
  for (const [name, probe] of rows) yield await probe().then((detail) => ({ name, can: true, detail }), (error: unknown) => ({ name, can: false, detail: error instanceof Error ? error.message : String(error) }));
  const { policies, maxContext } = backend.capabilities();
  yield { name: 'policies', can: policies, detail: policies ? 'new versions are taken while it runs' : 'one policy: new versions are not served' };
  yield { name: 'context', can: maxContext !== null, detail: maxContext === null ? 'not said' : `${maxContext} tokens` };
}

class CannotError extends Error {}

/** @throws CannotError with the reason for which training would leave it out */
function exact({ capture }: Heard, detail = 'token ids of prompt and completion, a log-prob for each'): string {
  const choices = Map.groupBy(capture, ({ choice }) => choice);
  for (const deltas of choices.values()) {
    const reason = deltas.find(({ quarantine }) => quarantine !== undefined)?.quarantine;
    if (reason !== undefined) throw new CannotError(`recorded as "${reason}"`);
    const ids = deltas.flatMap(({ tokenIds }) => tokenIds ?? []), logprobs = deltas.flatMap((delta) => delta.logprobs ?? []);
    const isWhole = deltas.some(({ promptTokenIds }) => promptTokenIds !== undefined) && ids.length > 0 && ids.length === logprobs.length;
    if (!isWhole) throw new CannotError('recorded as "inexact"');
  }
  return detail;
}

function called({ calls, capture }: Heard): string {
  if (calls === 0) throw new CannotError('asked for a call, it gave text');
  return held('calls are read', capture);
}

function valid({ text, capture }: Heard): string {
  const said: unknown = JSON.parse(text);
  if (typeof said !== 'object' || said === null || !('ok' in said) || typeof said.ok !== 'boolean') throw new CannotError(`the answer is not of the schema: ${text}`);
  return held('answers are of the schema', capture);
}

/** Whether the log-probs of an answer that was held to a form are those of the distribution under it. */
function held(what: string, capture: readonly CaptureDelta[]): string {
  const reason = capture.find(({ quarantine }) => quarantine !== undefined)?.quarantine;
  return reason === undefined ? `${what}; log-probs are of what was sampled from` : `${what}; recorded as "${reason}"`;
}

/** Ends a stream at its first frame and sees that nothing holds it up. */
async function aborted(backend: PolicyBackend, model: string): Promise<string> {
  const controller = new AbortController();
  const reply = await backend.chat(callOf({ model, messages, max_tokens: 64, temperature: 1, stream: true }, true), controller.signal);
  if (reply.kind !== 'stream') throw new CannotError('a stream was asked for, it gave one body');
  const frames = reply.frames[Symbol.asyncIterator]();
  await frames.next();
  const abortedAt = performance.now();
  controller.abort();
  const drained = (async () => { while (!(await frames.next()).done); })().catch(() => undefined);
  const isInTime = await Promise.race([drained.then(() => true), sleep(1000, false, { ref: false })]);
  if (!isInTime) throw new CannotError('the stream goes on a second after its abort');
  return `a stream ends ${Math.ceil(performance.now() - abortedAt)} ms after its abort`;
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
  for await (const frame of reply.frames) capture.push(...frame.capture);
  return { text: '', calls: 0, capture };
}
