/** `kill -9` in the middle of 50 concurrent calls: what a client saw to its end is there, the rest is marked. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { startHarness, tempDir, until } from './harness.ts';

const concurrent = 50;

async function startServer(dataDir: string): Promise<{ child: ChildProcess; url: string }> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('kill-server.ts', import.meta.url)), dataDir], { stdio: ['ignore', 'pipe', 'inherit'] });
  assert.ok(child.stdout);
  const [url] = await once(createInterface(child.stdout), 'line') as [string]; // the server prints one line
  return { child, url };
}

/** Calls until the server dies; the response ids of the answers that were seen to their end. */
async function client(url: string, number: number, whole: Set<string>): Promise<void> {
  for (let turn = 0; ; turn++) {
    // Every other one streams, every fifth never ends by itself.
    const order = number % 5 === 0 ? '!hang' : `!slow call ${number}.${turn}`;
    const stream = number % 2 === 0;
    let text;
    try {
      const response = await fetch(`${url}/v1/chat/completions`, { method: 'POST', body: JSON.stringify({ model: 'fake', stream, messages: [{ role: 'user', content: order }] }) });
      text = await response.text();
    } catch {
      return;
    }
    if (!stream) whole.add((JSON.parse(text) as { id: string }).id); // a completion
    else if (text.endsWith('data: [DONE]\n\n')) whole.add((JSON.parse(text.split('\n')[0]?.slice(6) ?? '') as { id: string }).id); // a chunk
  }
}

for (const round of [1, 2, 3]) {
  test(`killed with ${concurrent} calls open (${round})`, async () => {
    const dataDir = tempDir();
    const { child, url } = await startServer(dataDir);
    const whole = new Set<string>();
    const clients = Array.from({ length: concurrent }, (_, i) => client(url, i, whole));
    await until(() => whole.size > concurrent, 30_000);
    // Each time at another point of the calls that are open.
    await new Promise((resolve) => { setTimeout(resolve, 7 * round); });
    child.kill('SIGKILL');
    await Promise.all(clients);

    await using h = await startHarness({ dataDir });
    const steps = h.steps();
    const byResponse = new Map(steps.map((step) => [step.responseId, step]));
    for (const id of whole) {
      const step = byResponse.get(id);
      assert.equal(step?.state, 'complete', id);
      assert.equal(step.completionIds?.length, step.logprobs?.length);
      assert.match(step.response ?? '', new RegExp(id));
    }
    const crashed = steps.filter((step) => step.state === 'crashed');
    assert.ok(crashed.length >= concurrent / 5, `${crashed.length} were cut off`);
    assert.deepEqual(new Set(steps.map((step) => step.state)), new Set(['complete', 'crashed']));
    assert.equal(h.db.sqlite.pragma('integrity_check', { simple: true }), 'ok');
    assert.equal((await h.chat('and on')).status, 200);
    rmSync(dataDir, { recursive: true });
  });
}
