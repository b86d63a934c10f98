import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openDatabase } from '../../store/open.ts';
import { getStep, listSteps, markCrashed } from '../../store/steps.ts';
import { temporaryDirectory } from './temporary.ts';

const script = fileURLToPath(new URL('./write-forever.ts', import.meta.url));

/** Runs a process that writes steps, kills it once it has acknowledged `count` completions, and returns all it acknowledged. */
async function writeAndKill(dataDir: string, count: number): Promise<string[]> {
  const child = spawn(process.execPath, [script, dataDir], { stdio: ['ignore', 'pipe', 'inherit'] });
  const acknowledged: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    acknowledged.push(line);
    if (acknowledged.length === count) setTimeout(() => child.kill('SIGKILL'), Math.random() * 10);
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  assert.equal(child.signalCode, 'SIGKILL');
  return acknowledged;
}

describe('kill -9 of a process that writes', () => {
  it('20 times: every acknowledged step is there and whole, the rest is crashed, the database is sound', { timeout: 120_000 }, async (t) => {
    const results = await Promise.all([temporaryDirectory(t), temporaryDirectory(t)].map(async (dataDir) => {
      const acknowledged: string[] = [];
      let crashed = 0;
      for (let kill = 0; kill < 10; kill++) {
        acknowledged.push(...await writeAndKill(dataDir, 1 + Math.floor(Math.random() * 300)));
        using db = openDatabase(dataDir);
        crashed += markCrashed(db);
      }
      using db = openDatabase(dataDir);
      assert.equal(db.sqlite.pragma('integrity_check', { simple: true }), 'ok');
      assert.equal(listSteps(db, { state: 'open' }).items.length, 0);
      for (const id of acknowledged) {
        const step = getStep(db, id);
        assert.equal(step?.state, 'complete');
        assert.deepEqual(step.logprobs, Float32Array.from({ length: 60 }, (_, i) => -i));
        assert.equal(step.response?.length, 2000);
      }
      return { acknowledged: acknowledged.length, crashed };
    }));
    for (const { acknowledged, crashed } of results) assert.ok(acknowledged >= 10 && crashed >= 10, `${acknowledged} acknowledged, ${crashed} crashed`);
  });
});
