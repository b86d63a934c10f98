/** What holds of every backend, through the whole proxy: what the official client sees beside what is stored. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, beforeEach, describe, test } from 'node:test';
import { APIUserAbortError, BadRequestError, NotFoundError } from 'openai';
import type { ChatCompletionCreateParams } from 'openai/resources/chat/completions';
import { probeAbilities, type Ability } from '../../proxy/backends/abilities.ts';
import type { Step } from '../../store/steps.ts';
import { runPythonClient, skipWithoutPython } from './python-client.ts';
import type { Subject } from './subject.ts';

const messages = [{ role: 'user' as const, content: 'Name three colors.' }];
const greedy = { messages, temperature: 0, max_tokens: 24 };
const weather = { type: 'object', properties: { city: { enum: ['Oslo', 'Rome'] }, celsius: { type: 'integer', minimum: -30, maximum: 45 } }, required: ['city', 'celsius'], additionalProperties: false };
const tools = [{ type: 'function' as const, function: { name: 'get_weather', description: 'Says the weather', strict: true, parameters: weather } }];
const concurrent = 32;
/** Goes on until it is ended: the tokens that end answers of the models here (0, 1, 2) are ruled out. */
const endless = { messages, temperature: 1.5, max_tokens: 1500, logit_bias: { 0: -100, 1: -100, 2: -100 } };

type Params = Omit<ChatCompletionCreateParams, 'model' | 'stream'>;

interface Seen {
  readonly content: string;
  readonly finishReason: string | null | undefined;
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number } | null | undefined;
  /** The bodies or chunks as they came. */
  readonly raw: string;
  readonly chunks: number;
}

/** One choice's text, streamed or whole. */
async function ask({ client, model }: Subject, params: Params, stream: boolean): Promise<Seen> {
  if (!stream) {
    const body = await client.chat.completions.create({ ...params, model });
    const [choice] = body.choices;
    return { content: choice?.message.content ?? '', finishReason: choice?.finish_reason, usage: body.usage, raw: JSON.stringify(body), chunks: 0 };
  }
  let content = '', raw = '', chunks = 0;
  let finishReason: string | null | undefined, usage: Seen['usage'];
  for await (const chunk of await client.chat.completions.create({ ...params, model, stream: true })) {
    const [choice] = chunk.choices;
    content += choice?.delta.content ?? '';
    finishReason = choice?.finish_reason ?? finishReason;
    usage = chunk.usage ?? usage;
    raw += `${JSON.stringify(chunk)}\n`;
    chunks++;
  }
  return { content, finishReason, usage, raw, chunks };
}

/** @param held why the step of an answer that was held to a form may be kept out of training */
function assertExact(step: Step | undefined, usage?: Seen['usage'], held: readonly (string | null)[] = [null]): void {
  assert.ok(step !== undefined, 'a step was stored');
  assert.equal(step.state, 'complete');
  assert.ok(held.includes(step.quarantineReason), `quarantined: ${step.quarantineReason}`);
  const { promptIds, completionIds, logprobs } = step;
  assert.ok(promptIds !== null && promptIds.length > 0 && completionIds !== null && completionIds.length > 0 && logprobs !== null);
  assert.equal(logprobs.length, completionIds.length);
  assert.ok(logprobs.every((logprob) => Number.isFinite(logprob) && logprob <= 0), 'log-probs');
  assert.deepEqual(step.versionSpans, [{ version: 0, from: 0, to: completionIds.length }]);
  if (usage == null) return;
  assert.deepEqual([usage.prompt_tokens, usage.completion_tokens], [promptIds.length, completionIds.length]);
}

function assertWeather(json: string): void {
  const said = JSON.parse(json) as { city?: unknown; celsius?: unknown };
  assert.ok((said.city === 'Oslo' || said.city === 'Rome') && Number.isInteger(said.celsius), json);
}

/** Nothing of what only capture needs. */
function assertClean({ raw }: Seen): void {
  assert.doesNotMatch(raw, /"(token_ids|prompt_token_ids|prompt_text)":(?!null)/);
  assert.doesNotMatch(raw, /"logprob":/);
}

export interface SuiteOptions {
  /** Who holds answers to the form that is asked for. `server`: what comes of it is the server's own; `nobody`: a stand-in that answers freely. Default: `us`. */
  readonly forms?: 'us' | 'server' | 'nobody';
  /** Is told what the backend can do, in the end. */
  readonly onAbilities?: (abilities: readonly Ability[]) => void;
}

export function conformance(name: string, open: () => Promise<Subject>, { forms = 'us', onAbilities }: SuiteOptions = {}): void {
  describe(name, () => {
    let subject: Subject;
    before(async () => { subject = await open(); });
    after(() => subject[Symbol.asyncDispose]());
    beforeEach(async () => { await subject.newSteps(); });
    const stepsOf = (): Promise<Step[]> => subject.newSteps();

    test('says what it serves', async () => {
      assert.equal(subject.capabilities.exact, true);
      assert.equal((await subject.client.models.retrieve(subject.model)).id, subject.model);
    });

    test('every sampled token has its id and its log-prob, streamed or whole', async () => {
      const whole = await ask(subject, greedy, false);
      const streamed = await ask(subject, { ...greedy, stream_options: { include_usage: true } }, true);
      const [first, second] = await stepsOf();
      assertExact(first, whole.usage);
      assertExact(second, streamed.usage);
      assert.equal(streamed.content, whole.content);
      assert.deepEqual(second?.completionIds, first?.completionIds);
      assert.deepEqual(second?.promptIds, first?.promptIds);
      assert.ok(streamed.chunks > 3, 'comes in pieces');
      assertClean(whole);
      assertClean(streamed);
    });

    test('a stream has usage only if asked for, and log-probs too', async () => {
      const plain = await ask(subject, greedy, true);
      assert.doesNotMatch(plain.raw, /"usage":\{/);
      for (const stream of [false, true]) {
        const asked = await ask(subject, { ...greedy, logprobs: true, top_logprobs: 1 }, stream);
        const step = (await stepsOf()).at(-1);
        assertExact(step);
        assert.equal(asked.raw.match(/"top_logprobs":/g)?.length, step?.completionIds?.length);
        assert.doesNotMatch(asked.raw, /"token_ids":(?!null)/);
      }
    });

    test('text ends before a stop string, ids with it', async () => {
      const whole = await ask(subject, greedy, false);
      const [full] = await stepsOf();
      const stop = whole.content.slice(Math.floor(whole.content.length / 2), Math.floor(whole.content.length / 2) + 3);
      for (const stream of [false, true]) {
        const stopped = await ask(subject, { ...greedy, stop: [stop] }, stream);
        const [step] = await stepsOf();
        assertExact(step);
        assert.equal(stopped.content, whole.content.slice(0, whole.content.indexOf(stop)));
        assert.equal(stopped.finishReason, 'stop');
        const ids = [...step?.completionIds ?? []];
        assert.deepEqual(ids, [...full?.completionIds ?? []].slice(0, ids.length));
        assert.ok(ids.length < (full?.completionIds?.length ?? 0));
      }
    });

    test('n = 2 is two choices of one call, each with its ids', async () => {
      const { choices } = await subject.client.chat.completions.create({ model: subject.model, messages, temperature: 1.5, max_tokens: 24, n: 2, seed: 3 });
      assert.equal(choices.length, 2);
      const steps = await stepsOf();
      assert.equal(steps.length, 2);
      for (const step of steps) assertExact(step);
      assert.equal(steps[0]?.callId, steps[1]?.callId);
      assert.deepEqual(steps[0]?.promptIds, steps[1]?.promptIds);
      assert.notDeepEqual(steps[0]?.completionIds, steps[1]?.completionIds);
    });

    test('log-probs away from temperature 1 are those of what was sampled from', async () => {
      const cold = { messages, temperature: 0.3, max_tokens: 16 };
      await ask(subject, cold, true);
      assertExact((await stepsOf())[0]);
    });

    test('a call that is required is one, with arguments of its schema', async () => {
      if (!subject.capabilities.tools) {
        await assert.rejects(subject.client.chat.completions.create({ model: subject.model, messages, tools }), BadRequestError);
        return;
      }
      const body = { model: subject.model, messages, tools, tool_choice: 'required' as const, parallel_tool_calls: false, temperature: 0, max_tokens: 200 };
      const whole = await subject.client.chat.completions.create(body);
      const streamed = await subject.client.chat.completions.stream(body).finalChatCompletion();
      for (const { choices: [choice] } of [whole, streamed]) {
        const [call] = choice?.message.tool_calls ?? [];
        assert.ok(call?.type === 'function');
        assert.equal(call.function.name, 'get_weather');
        if (forms === 'us') assertWeather(call.function.arguments);
        else JSON.parse(call.function.arguments);
        assert.equal(choice?.finish_reason, 'tool_calls');
      }
      for (const step of await stepsOf()) assertExact(step, null, [null, 'raw_logprobs']);
    });

    test('an answer of a JSON schema is one', { skip: forms === 'nobody' && 'the stand-in knows no grammars' }, async () => {
      const { choices: [choice] } = await subject.client.chat.completions.create({
        model: subject.model, messages, temperature: 0.7, seed: 1, max_tokens: 200, response_format: { type: 'json_schema', json_schema: { name: 'weather', strict: true, schema: weather } },
      });
      // A small model may write spaces until it is cut off, where the server lets it.
      if (forms === 'us' || choice?.finish_reason === 'stop') assertWeather(choice?.message.content ?? '');
      for (const step of await stepsOf()) assertExact(step, null, [null, 'raw_logprobs']);
    });

    test('errors are the client\'s own kinds of error, and leave a step', async () => {
      const { client, model } = subject;
      for (const stream of [false, true]) {
        await assert.rejects(client.chat.completions.create({ ...greedy, model: 'nope', stream }), (error) => error instanceof NotFoundError && error.message.includes('nope'));
        await assert.rejects(client.chat.completions.create({ ...greedy, model, stream, messages: [{ role: 'user', content: 'word '.repeat(9000) }] }), (error) => error instanceof BadRequestError && /\d+ (input )?tokens/.test(error.message));
        await assert.rejects(client.chat.completions.create({ ...greedy, model, stream, temperature: -1 }), BadRequestError);
      }
      assert.deepEqual([...new Set((await stepsOf()).map(({ state }) => state))], ['upstream_error']);
    });

    test('an abort in mid-stream ends it behind the proxy too; the step has what was said', async () => {
      const controller = new AbortController();
      const stream = await subject.client.chat.completions.create({ ...endless, model: subject.model, stream: true }, { signal: controller.signal });
      let said = '';
      await assert.rejects(async () => {
        for await (const chunk of stream) {
          said += chunk.choices[0]?.delta.content ?? '';
          if (said !== '') controller.abort();
        }
        throw new APIUserAbortError(); // the client ends the iteration quietly where it was between two chunks
      }, APIUserAbortError);
      let steps: Step[] = [];
      await until(async () => {
        steps = [...steps, ...await stepsOf()];
        return steps.length > 0 && await subject.running() === 0;
      });
      assert.equal(steps[0]?.state, 'client_aborted');
      assert.ok((steps[0]?.completionIds?.length ?? 0) > 0);
    });

    test(`${concurrent} streams at once, each with its own tokens`, async () => {
      const all = await Promise.all(Array.from({ length: concurrent }, (_, seed) =>
        ask(subject, { messages: [{ role: 'user', content: `Name three colors. (${seed})` }], temperature: 1, seed, max_tokens: 16, stream_options: { include_usage: true } }, true)));
      assert.ok(all.every(({ finishReason }) => finishReason === 'stop' || finishReason === 'length'));
      const steps = await stepsOf();
      assert.equal(steps.length, concurrent);
      for (const step of steps) assertExact(step);
      const counts = (of: number[]) => of.sort((a, b) => a - b);
      assert.deepEqual(counts(steps.map(({ completionIds }) => completionIds?.length ?? 0)), counts(all.map(({ usage }) => usage?.completion_tokens ?? NaN)));
    });

    test('what it is asked to show that it can do, it can', async () => {
      const abilities = await Array.fromAsync(probeAbilities(subject.backend));
      onAbilities?.(abilities);
      for (const name of ['ids', 'streams', 'choices', 'abort']) {
        const ability = abilities.find((candidate) => candidate.name === name);
        assert.equal(ability?.short, 'yes', `${name}: ${ability?.detail}`);
      }
    });

    test('the official Python client: streams, tools, errors, an abort, many at once', { skip: skipWithoutPython }, async () => {
      await runPythonClient(subject);
      let steps: Step[] = [];
      await until(async () => {
        steps = [...steps, ...await stepsOf()];
        return steps.some(({ state }) => state === 'client_aborted') && await subject.running() === 0;
      });
      for (const step of steps.filter(({ state }) => state === 'complete')) assertExact(step, null, [null, 'raw_logprobs']);
    });
  });
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 10_000; !await condition();) {
    assert.ok(Date.now() < end, 'did not come true in ten seconds');
    await sleep(10);
  }
}
