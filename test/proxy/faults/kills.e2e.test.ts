/**
 * `kill -9` in the middle of everything, again and again, over one data directory: also while the server starts and repairs what the last kill
 * left. What a client saw to its end is there, once, and whole; the database always opens. `npm run test:kills` does it 200 times.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { after, test } from 'node:test';
import { openDatabase, type Database } from '../../../store/open.ts';
import { getStep, listSteps } from '../../../store/steps.ts';
import { startHarness, tempDir } from '../harness.ts';
import { serverScript, startProcess, type ServerProcess } from './process.ts';

const kills = Number(process.env['KILLS'] ?? 12);
const clients = 16;
/** Under load the kill comes at any point of calls of some 50 ms. */
const longestLoadMs = 400;

const dataDir = tempDir();
after(() => { rmSync(dataDir, { recursive: true }); });
const config = { dataDir, server: { port: 0 } };

interface Acknowledged { readonly choices: number; readonly text: string }

/** Calls until the server dies. Some stream, some ask for two answers, some never end by themselves. */
async function callUntilItDies(server: ServerProcess, client: number, kill: number, acknowledged: Map<string, Acknowledged>): Promise<void> {
  for (let turn = 0; ; turn++) {
    const hangs = client % 8 === 7;
    const stream = client % 2 === 0;
    const choices = client % 4 < 2 ? 1 : 2;
    try {
      const said = `${kill}.${client}.${turn}`;
      const text = await (await server.chat(hangs ? '!hang' : `!slow ${said}`, { stream, n: choices })).text();
      if (stream && !text.endsWith('data: [DONE]\n\n')) return;
      const { id } = JSON.parse(stream ? text.slice('data: '.length, text.indexOf('\n')) : text) as { id: string }; // the fake backend's
      assert.ok(!acknowledged.has(id), 'an id is given once');
      acknowledged.set(id, { choices, text: said });
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      return; // it died
    }
  }
}

async function killWhileItStarts(afterMs: number): Promise<void> {
  const child = spawn(process.execPath, [serverScript, JSON.stringify(config)], { stdio: 'ignore' });
  await new Promise((resolve) => { setTimeout(resolve, afterMs); });
  child.kill('SIGKILL');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

function assertKept(db: Database, acknowledged: ReadonlyMap<string, Acknowledged>): void {
  const byResponse = db.sqlite.prepare<[string], { id: string; choice: number }>('select id, choice from steps where response_id = ? order by choice');
  for (const [responseId, { choices, text }] of acknowledged) {
    const rows = byResponse.all(responseId);
    assert.deepEqual(rows.map((row) => row.choice), Array.from({ length: choices }, (_, choice) => choice), `${responseId}: kept, and once`);
    for (const { id } of rows) {
      const step = getStep(db, id);
      assert.equal(step?.state, 'complete');
      assert.equal(step.completionIds?.length, step.logprobs?.length);
      assert.match(step.request ?? '', new RegExp(text.replaceAll('.', '\\.')));
      assert.match(step.response ?? '', new RegExp(responseId));
    }
  }
}

test(`killed ${kills} times`, { timeout: 60_000 + kills * 10_000 }, async () => {
  const everything = new Map<string, Acknowledged>();
  let startMs = 500;
  for (let kill = 0; kill < kills; kill++) {
    if (kill % 4 === 3) {
      await killWhileItStarts(Math.random() * startMs);
    } else {
      const startedAt = performance.now();
      await using server = await startProcess(config);
      startMs = performance.now() - startedAt;
      const acknowledged = new Map<string, Acknowledged>();
      const calling = Array.from({ length: clients }, (_, client) => callUntilItDies(server, client, kill, acknowledged));
      await new Promise((resolve) => { setTimeout(resolve, 20 + Math.random() * longestLoadMs); });
      server.child.kill('SIGKILL');
      await Promise.all(calling);
      using db = openDatabase(dataDir, { readonly: true });
      assertKept(db, acknowledged);
      for (const [id, answer] of acknowledged) everything.set(id, answer);
    }
    using db = openDatabase(dataDir);
    if (kill % 10 === 0) assert.equal(db.sqlite.pragma('quick_check', { simple: true }), 'ok');
  }

  // A last start repairs what the last kill left, and serves.
  await using h = await startHarness({ dataDir });
  assert.equal((await h.chat('and on')).status, 200);
  assertKept(h.db, everything);
  assert.equal(h.db.sqlite.pragma('integrity_check', { simple: true }), 'ok');
  assert.equal(listSteps(h.db, { state: 'open' }).items.length, 0);
  const crashed = h.db.sqlite.prepare<[], { count: number }>('select count(*) as count from steps where state = \'crashed\'').get()?.count ?? 0;
  const doubles = h.db.sqlite.prepare('select 1 from steps group by call_id, choice having count(*) > 1').all();
  assert.equal(doubles.length, 0);
  assert.ok(everything.size > kills && crashed > 0, `${everything.size} acknowledged, ${crashed} cut off`);
  process.stdout.write(`${kills} kills: ${everything.size} calls acknowledged, all kept once; ${crashed} steps cut off\n`);
});
