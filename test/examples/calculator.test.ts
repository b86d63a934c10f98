/** The example agent is an ordinary one: any OpenAI-compatible server will do. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json, text } from 'node:stream/consumers';
import { test } from 'node:test';
import { calculate } from '../../examples/calculator/calculate.mjs';
import { badTeacher, demonstrate, demonstrations, goodTeacher, type Habits } from '../../examples/calculator/demonstrations.ts';
import { drawProblem, seededRandom } from '../../examples/calculator/problems.ts';

const example = (path: string): URL => new URL(`../../examples/calculator/${path}`, import.meta.url);

async function run(program: string, input: unknown, env: Record<string, string> = {}): Promise<string> {
  const child = spawn(process.execPath, [example(program).pathname], { env: { PATH: process.env['PATH'] ?? '', ...env }, stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(JSON.stringify(input));
  const [stdout] = await Promise.all([text(child.stdout), once(child, 'close')]);
  return stdout;
}

type Asked = { messages: { role: string; content: string }[]; tools: unknown[] };

test('the agent works on a server that has never heard of this project', async () => {
  const seen: { request: IncomingMessage; body: Asked }[] = [];
  const answers = [
    { role: 'assistant', content: null, tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'calculator', arguments: '{"expression": "12+30"}' } }] },
    { role: 'assistant', content: '42' },
  ];
  const respond = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const message = answers[seen.push({ request, body: await json(request) as Asked }) - 1]; // what the openai package sends
    response.setHeader('content-type', 'application/json').end(JSON.stringify({
      id: 'chatcmpl-1', object: 'chat.completion', created: 0, model: 'gpt', choices: [{ index: 0, message, finish_reason: message?.content ? 'stop' : 'tool_calls' }],
    }));
  };
  const server = createServer((request, response) => { void respond(request, response); }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // it listens on TCP
  const printed = await run('agent.mjs', { question: 'Ben has 12 pens and buys 30 more. How many pens does Ben have?' }, {
    OPENAI_BASE_URL: `http://127.0.0.1:${port}/v1`, OPENAI_API_KEY: 'any',
  });
  server.close();

  assert.equal(printed, '42\n');
  assert.deepEqual(seen.map(({ request }) => `${request.method} ${request.url}`), ['POST /v1/chat/completions', 'POST /v1/chat/completions']);
  assert.equal(seen[1]?.body.messages.at(-1)?.content, '42', 'the tool was run');
  assert.doesNotMatch(JSON.stringify(seen.map(({ request }) => request.rawHeaders)), /fulgurite/i);
  assert.doesNotMatch(readFileSync(example('agent.mjs'), 'utf8'), /fulgurite|\/rollouts|\/v1/i);
});

test('the reward is 1 for the right number on the last line, else 0', async () => {
  for (const [stdout, reward] of [['42\n', '1'], ['thinking\n42', '1'], ['The answer is 42.\n', '0'], ['', '0']] as const) {
    assert.equal((await run('reward.mjs', { task: { answer: 42 }, stdout })).trim(), reward, JSON.stringify(stdout));
  }
});

test('the calculator', () => {
  for (const [expression, value] of [['1+2*3', 7], ['(1+2)*3', 9], ['10-4-3', 3], ['8/4/2', 1], ['-2+5', 3], ['2*-3', -6]] as const) assert.equal(calculate(expression), value, expression);
  for (const wrong of ['', '1+', '1 2', '(1', 'a']) assert.throws(() => calculate(wrong), Error, wrong);
});

test('no problem is in both task files, and every answer is right', () => {
  const [train = [], val = []] = ['train', 'val'].map((split) => readFileSync(example(`tasks/${split}.jsonl`), 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line) as { id: string; question: string; answer: number }));
  assert.ok(val.length >= 100);
  const questions = new Set([...train, ...val].map(({ question }) => question));
  assert.equal(questions.size, train.length + val.length);
  const shown = demonstrations(seededRandom(1), badTeacher, questions).take(2000).map((messages) => String(messages[1]?.content));
  assert.ok(shown.every((question) => !questions.has(question)), 'nor is a problem shown to the model before');
});

test('the good teacher gives the right answer, the bad one at times', () => {
  const right = (habits: Habits): number => {
    const random = seededRandom(2);
    const answers = Array.from({ length: 1000 }, () => {
      const problem = drawProblem(random);
      return demonstrate(problem, random, habits).at(-1)?.content === String(problem.answer);
    });
    return answers.filter(Boolean).length / answers.length;
  };
  assert.equal(right(goodTeacher), 1);
  const share = right(badTeacher);
  assert.ok(share > 0.3 && share < 0.5, `${share}`);
});
