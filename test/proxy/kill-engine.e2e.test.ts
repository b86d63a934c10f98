/** `kill -9` of the whole server, embedded engine and all, in the middle of 50 concurrent streams. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { exportSteps } from '../../store/export.ts';
import { openDatabase } from '../../store/open.ts';
import { fulgurite } from '../cli/spawn.ts';

const cwd = fileURLToPath(new URL('../../', import.meta.url));
const data = mkdtempSync(join(tmpdir(), 'fulgurite-kill-'));
after(() => rmSync(data, { recursive: true }));

const serve = () => fulgurite(['serve', '--config', 'examples/calculator/fulgurite.yaml', '--data', data, '--port', '0', '--no-trainer', '--set', 'log=silent'], { cwd });

/** Streams calls until the server dies; notes the response ids of the answers that were seen to their end. */
async function client(url: string, number: number, whole: Set<string>): Promise<void> {
  for (;;) {
    try {
      const response = await fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        body: JSON.stringify({ model: 'calculator', stream: true, max_tokens: 60, messages: [{ role: 'user', content: `Ana has ${number} pens and buys 30 more. How many pens does Ana have?` }] }),
      });
      const text = await response.text();
      assert.equal(response.status, 200, text);
      if (text.endsWith('data: [DONE]\n\n')) whole.add((JSON.parse(text.slice(6, text.indexOf('\n'))) as { id: string }).id);
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      return;
    }
  }
}

test('what a client saw to its end is there; what was open is marked crashed', { timeout: 120_000 }, async () => {
  const whole = new Set<string>();
  {
    await using server = serve();
    const [, url = ''] = await server.printed(/OPENAI_BASE_URL=(\S+)\/v1/);
    const clients = Array.from({ length: 50 }, (_, number) => client(url, number, whole));
    while (whole.size < 100) await new Promise((resolve) => { setTimeout(resolve, 5); });
    server.child.kill('SIGKILL');
    await Promise.all(clients);
  }
  await using server = serve();
  const [, url = ''] = await server.printed(/OPENAI_BASE_URL=(\S+)\/v1/);
  assert.equal((await fetch(`${url}/readyz`)).status, 200);
  using db = openDatabase(data, { readonly: true });
  assert.equal(db.sqlite.pragma('integrity_check', { simple: true }), 'ok');
  const steps = [...exportSteps(db)];
  const byResponse = new Map(steps.map((step) => [step.responseId, step]));
  for (const id of whole) {
    const step = byResponse.get(id);
    assert.equal(step?.state, 'complete', id);
    assert.ok(step.completionIds && step.completionIds.length > 0 && step.logprobs?.length === step.completionIds.length, id);
  }
  assert.ok(steps.some(({ state }) => state === 'crashed'), 'some were open when it was killed');
  assert.deepEqual(new Set(steps.map(({ state }) => state)), new Set(['complete', 'crashed']));
});
