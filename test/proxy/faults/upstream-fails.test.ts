/** The server behind the proxy fails, at each point and in each way: what the client sees, what the server sees, what is stored. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { until } from '../harness.ts';
import { behind, type ClientView } from './behind.ts';
import { event, finishChunk, roleChunk, tokenChunk, usageChunk, wholeBody, wholeStream } from './chunks.ts';
import type { Script } from './upstream.ts';

interface Fault {
  readonly script: Script;
  readonly client: { readonly status: number; readonly code: string | null; readonly message?: RegExp; readonly frames?: number; readonly retryAfter?: string };
  readonly step: { readonly state: string; readonly ids: number };
}

const someTokens = [roleChunk, tokenChunk('a'), tokenChunk('b')].map(event).join('');
const started = (rest: Script): Script => (call) => { call.stream(); return rest(call); };
const midStream = (rest: Script): Script => started((call) => { call.write(someTokens); return rest(call); });
/** Mid-stream failures: the status is out already, and two tokens were seen. */
const cut = (code: string | null, state = 'upstream_error', message?: RegExp): Pick<Fault, 'client' | 'step'> =>
  ({ client: { status: 200, code, frames: 4, ...(message ? { message } : {}) }, step: { state, ids: 2 } });
const refused = (status: number, code: string | null, state = 'upstream_error', message?: RegExp): Pick<Fault, 'client' | 'step'> =>
  ({ client: { status, code, ...(message ? { message } : {}) }, step: { state, ids: 0 } });

const outOfMemory = { error: { message: 'out of memory', type: 'server_error', param: null, code: 'oom' } };
const silent: Script = () => undefined;

/** Short where a silence must end by it; elsewhere a busy machine would be taken for one. */
function limitsFor(kind: string, { client: { code, message } }: Fault): object {
  if (code !== 'upstream_timeout') return {};
  if (kind === 'a body') return { backend: { timeoutMs: 400 } };
  return { server: message?.source === 'first token' ? { firstTokenTimeoutMs: 300 } : { interTokenTimeoutMs: 300 } };
}

const streams: Record<string, Fault> = {
  'resets before the headers': { script: (call) => { call.reset(); }, ...refused(502, 'upstream_unreachable') },
  'closes before the headers': { script: (call) => { call.end(); }, ...refused(502, 'upstream_unreachable') },
  'says nothing': { script: silent, ...refused(504, 'upstream_timeout', 'upstream_error', /first token/) },
  'sends headers only': { script: started(silent), ...refused(504, 'upstream_timeout', 'upstream_error', /first token/) },
  'sends comments only': {
    script: started(async (call) => { while (!call.isClosed) { call.write(': ping\n\n'); await new Promise((resolve) => { setTimeout(resolve, 20); }); } }),
    ...refused(504, 'upstream_timeout', 'upstream_error', /first token/),
  },
  'resets after the headers': { script: started((call) => { call.reset(); }), ...refused(502, 'upstream_unreachable') },
  'ends after the headers': { script: started((call) => { call.end(); }), ...refused(502, 'upstream_truncated', 'truncated') },
  'resets in mid-stream': { script: midStream(async (call) => { await new Promise((resolve) => { setTimeout(resolve, 50); }); call.reset(); }), ...cut('upstream_unreachable') },
  'ends in mid-stream': { script: midStream((call) => { call.end(); }), ...cut('upstream_truncated', 'truncated') },
  'closes in mid-stream': { script: midStream((call) => { call.close(); }), ...cut('upstream_unreachable') },
  'ends in mid-event': { script: midStream((call) => { call.write('data: {"id":"chatcm'); call.end(); }), ...cut('upstream_truncated', 'truncated') },
  'ends with [DONE] before the answer is complete': { script: midStream((call) => { call.write(event('[DONE]')); call.end(); }), ...cut('upstream_truncated', 'truncated') },
  'stalls in mid-stream': { script: midStream(silent), ...cut('upstream_timeout', 'upstream_error', /next token/) },
  'stalls between tokens with comments': {
    script: midStream(async (call) => { while (!call.isClosed) { call.write(': ping\n\n'); await new Promise((resolve) => { setTimeout(resolve, 20); }); } }),
    ...cut('upstream_timeout', 'upstream_error', /next token/),
  },
  'reports an error in mid-stream': { script: midStream((call) => { call.write(event(JSON.stringify(outOfMemory))); call.end(); }), ...cut('oom', 'upstream_error', /out of memory/) },
  'reports an error as a string in mid-stream': { script: midStream((call) => { call.write(event('{"error":"out of memory"}')); call.end(); }), ...cut('upstream_failed', 'upstream_error', /out of memory/) },
  'reports an error as older vLLMs do in mid-stream': { script: midStream((call) => { call.write(event('{"object":"error","message":"out of memory","code":500}')); call.end(); }), ...cut('upstream_failed', 'upstream_error', /out of memory/) },
  'reports an error as the first event': { script: started((call) => { call.write(event(JSON.stringify(outOfMemory))); call.end(); }), ...refused(502, 'oom', 'upstream_error', /out of memory/) },
  'sends garbage in mid-stream': { script: midStream((call) => { call.write(event('{"half":')); }), ...cut('upstream_invalid') },
  'sends an event that is not an object': { script: midStream((call) => { call.write(event('7')); }), ...cut('upstream_invalid') },
  'answers with bytes that are not HTTP': { script: (call) => { call.raw('SSH-2.0-OpenSSH_9.6\r\n'); call.end(); }, ...refused(502, 'upstream_unreachable') },
  'breaks the chunked encoding in mid-stream': {
    script: midStream(async (call) => { await new Promise((resolve) => { setTimeout(resolve, 50); }); call.raw('zz\r\n'); }),
    ...cut('upstream_unreachable'),
  },
  'answers 200 with an error body': { script: (call) => { call.json(200, outOfMemory); }, ...refused(502, 'oom', 'upstream_error', /out of memory/) },
  'answers 503 with retry-after': {
    script: (call) => { call.raw('HTTP/1.1 503 X\r\nconnection: close\r\nretry-after: 7\r\ncontent-length: 4\r\n\r\nbusy'); },
    client: { status: 503, code: null, message: /busy/, retryAfter: '7' }, step: { state: 'upstream_error', ids: 0 },
  },
};

const bodies: Record<string, Fault> = {
  'resets before the headers': { script: (call) => { call.reset(); }, ...refused(502, 'upstream_unreachable') },
  'says nothing': { script: silent, ...refused(504, 'upstream_timeout') },
  'stalls in mid-body': { script: (call) => { call.json(200, '{"id":', 100); }, ...refused(504, 'upstream_timeout') },
  'resets in mid-body': { script: async (call) => { call.json(200, '{"id":', 100); await new Promise((resolve) => { setTimeout(resolve, 50); }); call.reset(); }, ...refused(502, 'upstream_unreachable') },
  'closes in mid-body': { script: (call) => { call.json(200, '{"id":', 100); call.end(); }, ...refused(502, 'upstream_unreachable') },
  'sends less than it said': { script: (call) => { call.json(200, wholeBody('ab'), 5000); call.end(); }, ...refused(502, 'upstream_unreachable') },
  'sends more than it said': { script: (call) => { call.json(200, wholeBody('ab'), 50); call.end(); }, ...refused(502, 'upstream_invalid') },
  'answers 200 with an error body': { script: (call) => { call.json(200, outOfMemory); }, ...refused(502, 'oom', 'upstream_error', /out of memory/) },
  'answers 200 with an error string': { script: (call) => { call.json(200, { error: 'out of memory' }); }, ...refused(502, 'upstream_failed', 'upstream_error', /out of memory/) },
  'answers 200 with JSON that is no completion': { script: (call) => { call.json(200, { ok: true }); }, ...refused(502, 'upstream_invalid') },
  'answers 200 with HTML': { script: (call) => { call.json(200, '<h1>hello</h1>'); }, ...refused(502, 'upstream_invalid', 'upstream_error', /hello/) },
  'answers 200 with nothing': { script: (call) => { call.json(200, ''); }, ...refused(502, 'upstream_invalid') },
  'answers 500 with its own error': { script: (call) => { call.json(500, outOfMemory); }, ...refused(500, 'oom', 'upstream_error', /out of memory/) },
  'answers 500 with HTML': { script: (call) => { call.json(500, '<h1>down</h1>'); }, ...refused(500, null, 'upstream_error', /down/) },
};

for (const [kind, faults] of [['a stream', streams], ['a body', bodies]] as const) {
  describe(`${kind} whose server`, () => {
    for (const [name, fault] of Object.entries(faults)) {
      test(name, async () => {
        await using b = await behind(fault.script, limitsFor(kind, fault));
        const seen = await b.chat(kind === 'a stream');
        assertClient(seen, fault.client);
        // One generation, never started again, and the connection is given up.
        assert.equal(b.upstream.calls.length, 1);
        await until(() => b.upstream.calls[0]?.isClosed === true, 1000);
        const [step, ...others] = await b.steps();
        assert.equal(others.length, 0);
        assert.equal(step?.state, fault.step.state);
        assert.equal(step.completionIds?.length ?? 0, fault.step.ids, 'what was generated until then');
        assert.equal(step.logprobs?.length ?? 0, fault.step.ids);
        assert.match(step.error ?? '', /\w+: \w+/);
      });
    }
  });
}

function assertClient({ status, headers, events, body }: ClientView, expected: Fault['client']): void {
  assert.equal(status, expected.status);
  assert.ok(!events.includes('[DONE]'), 'nobody is told that it is whole');
  if (expected.frames !== undefined) assert.equal(events.length, expected.frames);
  assert.equal(typeof body?.error?.message, 'string', 'an error in the dialect\'s shape, which SDKs raise');
  assert.equal(body?.error?.code ?? null, expected.code);
  if (expected.retryAfter !== undefined) assert.equal(headers.get('retry-after'), expected.retryAfter);
  if (expected.message) assert.match(body?.error?.message ?? '', expected.message);
}

describe('a stream that is all there although its server', () => {
  const whole = [roleChunk, tokenChunk('a'), tokenChunk('b'), finishChunk, usageChunk];
  const cases: Record<string, Script> = {
    'forgets [DONE]': started((call) => { call.write(whole.map(event).join('')); call.end(); }),
    'forgets the last blank line': started((call) => { call.write(whole.map(event).join('').trimEnd()); call.end(); }),
    'sends single bytes': started(async (call) => { for (const byte of Buffer.from(wholeStream('ab'))) { call.write(Buffer.of(byte)); await new Promise(setImmediate); } call.end(); }),
    'writes CRLF, comments, other fields, and data over several lines': started((call) => {
      call.write(whole.map((data) => `: hi\r\nid: 7\r\nevent: message\r\ndata: ${data.replace(',', ',\r\ndata: ')}\r\n\r\n`).join('') + 'data: [DONE]\r\n\r\n');
      call.end();
    }),
    'sends no length and ends with the connection': (call) => {
      call.raw(`HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n${wholeStream('ab')}`);
      call.close();
    },
    'keeps the connection after [DONE]': started((call) => { call.write(wholeStream('ab')); }),
    'resets after [DONE]': started(async (call) => { call.write(wholeStream('ab')); await new Promise((resolve) => { setTimeout(resolve, 50); }); call.reset(); }),
  };
  for (const [name, script] of Object.entries(cases)) {
    test(name, async () => {
      await using b = await behind(script);
      const seen = await b.chat(true);
      assert.deepEqual([seen.status, seen.events.length, seen.events.at(-1)], [200, 5, '[DONE]']);
      assert.deepEqual(seen.events.slice(1, 3).map((data) => (JSON.parse(data) as { choices: { delta: { content: string } }[] }).choices[0]?.delta.content), ['a', 'b']);
      const [step] = await b.steps();
      assert.deepEqual([step?.state, step?.quarantineReason, step?.completionIds?.length, step?.usage?.completionTokens], ['complete', null, 2, 2]);
      await until(() => b.upstream.calls[0]?.isClosed === true, 1000);
    });
  }
});

test('the frame that ends a choice reaches the client also where the server fails after it', async () => {
  await using b = await behind(midStream((call) => { call.write(event(finishChunk)); call.write(event(JSON.stringify(outOfMemory))); call.end(); }));
  const seen = await b.chat(true);
  assert.deepEqual(seen.events.map((data) => (JSON.parse(data) as { choices?: { finish_reason: unknown }[] }).choices?.[0]?.finish_reason), [null, null, null, 'stop', undefined]);
  assert.equal((await b.steps())[0]?.state, 'upstream_error');
});

test('an answer larger than any answer is cut off, and memory with it', async () => {
  const line = `data: "${'x'.repeat(1 << 20)}`;
  await using b = await behind(started(async (call) => { call.write(line); while (!call.isClosed) { call.write('y'.repeat(1 << 20)); await call.drained(); } }));
  const seen = await b.chat(true);
  assert.deepEqual([seen.status, seen.body?.error?.code], [502, 'upstream_invalid']);
  assert.equal((await b.steps())[0]?.state, 'upstream_error');
});
