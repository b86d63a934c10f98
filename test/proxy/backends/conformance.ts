/** What holds of every backend. Run it against each. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PolicyBackend } from '../../../proxy/backends/backend.ts';
import { ApiError } from '../../../proxy/errors.ts';
import { chatCall, outcome, type Outcome } from './answers.ts';

export interface Subject extends AsyncDisposable {
  readonly backend: PolicyBackend;
  readonly model: string;
  /** A greedy answer to `messages` holds it. */
  readonly stop: { readonly json: string; readonly stream: string };
  /** Calls that still cost something behind the backend. */
  readonly running: () => Promise<number>;
}

const messages = [{ role: 'user', content: 'Name three colors.' }];
const greedy = { messages, temperature: 0, max_tokens: 24 };

function assertExact({ kept, keptUsage, usage }: Outcome, choices: number): void {
  assert.equal(kept.length, choices);
  for (const choice of kept) {
    assert.equal(choice.quarantine, null);
    assert.ok(choice.ids.length > 0);
    assert.equal(choice.ids.length, choice.logprobs.length);
    assert.ok(choice.logprobs.every((logprob) => logprob <= 0));
    assert.ok(choice.versions.every((version) => version === 0));
    assert.equal(choice.promptTokenIds?.length, (usage ?? undefined)?.['prompt_tokens'] ?? keptUsage?.promptTokens);
  }
  const tokens = kept.reduce((sum, choice) => sum + choice.ids.length, 0);
  assert.equal(keptUsage?.completionTokens, tokens);
}

/** Nothing of what capture needs is seen by a client that did not ask for it. */
function assertClean(seen: unknown): void {
  assert.doesNotMatch(JSON.stringify(seen), /"(token_ids|prompt_token_ids|prompt_text)":(?!null)/);
  assert.doesNotMatch(JSON.stringify(seen), /"logprob":/);
}

export function conformance(name: string, open: () => Promise<Subject>): void {
  const conforms = (what: string, check: (subject: Subject, chat: (body: object, signal?: AbortSignal) => Promise<Outcome>) => Promise<void>): void => {
    test(`${name}: ${what}`, async () => {
      await using subject = await open();
      const never = new AbortController().signal;
      await check(subject, async (body, signal = never) => outcome(await subject.backend.chat(chatCall({ model: subject.model, ...body }), signal)));
    });
  };

  conforms('every sampled token has its id and its log-prob', async (_, chat) => {
    const plain = await chat(greedy);
    assertExact(plain, 1);
    assert.equal(plain.usage?.['completion_tokens'], plain.kept[0]?.ids.length);
    assert.equal(plain.usage?.['total_tokens'], (plain.usage?.['prompt_tokens'] ?? 0) + (plain.kept[0]?.ids.length ?? 0));
    assertClean(plain.body);
  });

  conforms('a greedy stream says what the whole answer says', async (_, chat) => {
    const plain = await chat(greedy), streamed = await chat({ ...greedy, stream: true });
    assertExact(streamed, 1);
    assert.deepEqual(streamed.choices, plain.choices);
    assert.deepEqual(streamed.kept, plain.kept);
    assert.ok(streamed.chunks.length > 3, 'comes in pieces');
    assertClean(streamed.chunks);
  });

  conforms('a stream has usage only if asked for', async (_, chat) => {
    const without = await chat({ ...greedy, stream: true });
    assert.ok(without.chunks.every((chunk) => (chunk['choices'] as unknown[]).length === 1 && (chunk['usage'] ?? null) === null));
    const asked = await chat({ ...greedy, stream: true, stream_options: { include_usage: true } });
    assert.equal(asked.usage?.['completion_tokens'], asked.kept[0]?.ids.length);
    assert.deepEqual(asked.chunks.at(-1)?.['choices'], []);
  });

  conforms('log-probs are seen if asked for', async (_, chat) => {
    for (const stream of [false, true]) {
      const asked = await chat({ ...greedy, stream, logprobs: true, top_logprobs: 1 });
      assert.equal(asked.choices[0]?.logprobs.length, asked.kept[0]?.ids.length);
      for (const [i, entry] of (asked.choices[0]?.logprobs ?? []).entries()) {
        assert.equal(typeof entry.token, 'string');
        assert.ok(entry.bytes.every((byte) => Number.isInteger(byte)));
        assert.ok(Math.abs(entry.logprob - (asked.kept[0]?.logprobs[i] ?? NaN)) < 1e-6);
      }
      assert.doesNotMatch(JSON.stringify([asked.body, asked.chunks]), /"token_ids":(?!null)/);
    }
  });

  conforms('text ends before a stop string, ids with it', async ({ stop }, chat) => {
    for (const stream of [false, true]) {
      const string = stream ? stop.stream : stop.json;
      const whole = await chat(greedy);
      const stopped = await chat({ ...greedy, max_tokens: 64, stop: [string], stream });
      const at = whole.choices[0]?.content.indexOf(string) ?? -1;
      assert.ok(at >= 0, 'the answer holds the stop string');
      assert.equal(stopped.choices[0]?.content, whole.choices[0]?.content.slice(0, at));
      assert.equal(stopped.choices[0]?.finishReason, 'stop');
      assertExact(stopped, 1);
      assert.deepEqual(stopped.kept[0]?.ids, whole.kept[0]?.ids.slice(0, stopped.kept[0]?.ids.length));
      assert.ok((stopped.kept[0]?.ids.length ?? 0) < (whole.kept[0]?.ids.length ?? 0));
    }
  });

  conforms('n = 2 is two choices, each with its ids', async (_, chat) => {
    for (const stream of [false, true]) {
      const two = await chat({ messages, temperature: 1, max_tokens: 24, n: 2, seed: 3, stream });
      assertExact(two, 2);
      assert.equal(two.choices.length, 2);
      assert.notDeepEqual(two.kept[0]?.ids, two.kept[1]?.ids);
      assert.deepEqual(two.kept[0]?.promptTokenIds, two.kept[1]?.promptTokenIds);
      assert.ok(two.choices.every((choice) => choice.finishReason !== null));
    }
  });

  conforms('an abort in mid-stream ends it at once, behind the backend too', async ({ backend, model, running }) => {
    const controller = new AbortController();
    const reason = new Error('the client went away');
    const call = chatCall({ model, ...greedy, temperature: 1, stream: true }, { headers: { 'x-pace-ms': '20' } });
    const reply = await backend.chat(call, controller.signal);
    assert.ok(reply.kind === 'stream');
    await assert.rejects(async () => {
      for await (const _ of reply.frames) controller.abort(reason);
    }, reason);
    for (let waited = 0; await running() > 0; waited += 10) {
      assert.ok(waited < 1000, 'still running a second after the abort');
      await sleep(10);
    }
  });

  conforms('an unknown model is a 404', async (_, chat) => {
    for (const stream of [false, true]) {
      await assert.rejects(chat({ ...greedy, model: 'nope', stream }), (error) => error instanceof ApiError && error.status === 404 && error.message.includes('nope'));
    }
  });

  conforms('a prompt longer than the context is a 400 with numbers', async (_, chat) => {
    const long = [{ role: 'user', content: 'word '.repeat(9000) }];
    await assert.rejects(chat({ ...greedy, messages: long }), (error) => error instanceof ApiError && error.status === 400 && /\d+ (input )?tokens/.test(error.message));
  });

  conforms('says what it is', async ({ backend, model }) => {
    assert.equal(backend.currentVersion(), 0);
    assert.ok((await backend.models()).some(({ id }) => id === model));
    assert.equal(backend.capabilities().exact, true);
    assert.equal((await backend.health()).ok, true);
  });
}
