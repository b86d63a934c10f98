import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Trajectories } from '../../../proxy/capture/trajectories.ts';
import { openDatabase } from '../../../store/open.ts';
import { startWriter } from '../../../store/writer.ts';

test('a rollout that is found before its creation is announced keeps one count of its calls', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'fulgurite-trajectories-'));
  const writer = await startWriter({ dataDir, durability: 'process', busyTimeoutMs: 5000 });
  const db = openDatabase(dataDir, { readonly: true });
  const trajectories = new Trajectories(db, writer);
  const created = await writer.write('createRollout', { mode: 'live' });

  const found = trajectories.find(created.rollout.id);
  assert.ok(found);
  found.nextSequence = 1;
  assert.equal(trajectories.started(created), found);

  db.close();
  await writer.close();
  rmSync(dataDir, { recursive: true });
});
