import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Config, configSchema } from '../../config/schema.ts';
import { currentVersion, promote } from '../../store/policies.ts';
import { claimRound, findRound, requestRound, type Round } from '../../store/rounds.ts';
import { policyVersion } from '../../trainer/policy.ts';
import { startTrainerProcess, type TrainerExit } from '../../trainer/process.ts';
import { goldenPath } from './golden.ts';
import { collect, makeWorld, trainerConfig, type World } from './world.ts';

/** The tiny golden model with a tokenizer, so that it is a whole Hugging Face directory. */
function configFor(world: World): Config {
  const model = join(world.db.dataDir, 'model');
  cpSync(world.model.path, model, { recursive: true, filter: (source) => !source.includes('lora') });
  cpSync(goldenPath('tokenizers/qwen/tokenizer.json'), join(model, 'tokenizer.json'));
  return configSchema.parse({ dataDir: world.db.dataDir, backend: { kind: 'embedded', model }, trainer: { ...trainerConfig({ optimizer: { learningRate: 0.02 } }), pollMs: 10 } });
}

async function ended(world: World, round: Round): Promise<Round> {
  for (let waited = 0; waited < 20_000; waited += 20) {
    const now = findRound(world.db, round.id);
    if (now && now.state !== 'requested' && now.state !== 'running') return now;
    await sleep(20);
  }
  throw new Error(`round ${round.id} is still ${findRound(world.db, round.id)?.state}`);
}

await test('a trainer process: runs rounds, reports bad ones, follows a rollback, comes back after a kill, and stops', async () => {
  await using world = makeWorld();
  const { db } = world;
  const config = configFor(world);
  const policy = await world.policy(config.trainer);
  policy.load(policyVersion(db, 0), 1);
  // What an earlier trainer left behind.
  const abandoned = requestRound(db);
  claimRound(db);
  mkdirSync(join(db.dataDir, 'policies/.tmp-9-1'), { recursive: true });
  writeFileSync(join(db.dataDir, 'policies/.tmp-9-1/half'), 'x');

  const exits: TrainerExit[] = [];
  const trainer = startTrainerProcess({ config, firstRestartMs: 20, onExit: (exit) => { exits.push(exit); } });
  try {
    const takenUp = await ended(world, abandoned);
    assert.deepEqual([takenUp.state, takenUp.interruptions], ['empty', 1], 'it goes on with what another trainer left running');

    await collect(db, policy.learner, { tasks: 2, group: 4, seed: 0, version: 0 });
    const first = await ended(world, requestRound(db, { seed: 1 }));
    assert.equal(first.state, 'promoted', first.error ?? '');
    assert.equal(currentVersion(db), 1);
    assert.equal(first.baseVersion, 0);
    assert.equal(first.seed, 1);

    const wrong = await ended(world, requestRound(db, { config: { optimizer: { learningrate: 1 } } }));
    assert.equal(wrong.state, 'failed');
    assert.match(wrong.error ?? '', /learningrate/);

    // Rolled back: the next round starts from version 0, not from what is in memory.
    promote(db, { version: 0, reason: 'rollback' });
    policy.load(policyVersion(db, 0), 1);
    await collect(db, policy.learner, { tasks: 2, group: 4, seed: 0, version: 0, name: 'again' });
    const again = await ended(world, requestRound(db, { seed: 1, config: { maxStaleness: 0 } }));
    assert.equal(again.state, 'promoted', again.error ?? '');
    assert.equal(again.baseVersion, 0);
    assert.equal(again.resultVersion, 2);
    assert.ok((again.metrics?.['selfTestMax'] ?? 1) < 1e-4, 'trained from version 0');

    const killed = trainer.pid;
    assert.ok(killed);
    process.kill(killed, 'SIGKILL');
    const after = await ended(world, requestRound(db, { seed: 1 }));
    assert.equal(after.state, 'empty');
    assert.deepEqual(exits, [{ code: null, signal: 'SIGKILL', restartInMs: 20 }]);
    assert.notEqual(trainer.pid, killed);
    // It had come up, so the next one comes as soon.
    process.kill(trainer.pid ?? 0, 'SIGKILL');
    await ended(world, requestRound(db, { seed: 1 }));
    assert.deepEqual(exits.map((exit) => exit.restartInMs), [20, 20]);
  } finally {
    await trainer.stop();
  }
  assert.equal(trainer.pid, undefined);
  assert.deepEqual(exits.at(-1), { code: 0, signal: null, restartInMs: null });
});

await test('a round that is running when the trainer is stopped waits, and the next trainer goes on with it', async () => {
  await using world = makeWorld();
  const { db } = world;
  const config = configFor(world);
  const policy = await world.policy(config.trainer);
  policy.load(policyVersion(db, 0), 1);
  await collect(db, policy.learner, { tasks: 2, group: 4, seed: 0, version: 0 });
  const round = requestRound(db, { seed: 1, config: { epochs: 300 } });
  const first = startTrainerProcess({ config });
  for (let now = findRound(db, round.id); now?.progress?.phase !== 'train'; now = findRound(db, round.id)) {
    assert.equal(now?.endedAt, null, 'it must not end before it is stopped');
    await sleep(5);
  }
  await first.stop();
  const waiting = findRound(db, round.id);
  assert.deepEqual([waiting?.state, waiting?.error, waiting?.interruptions, waiting?.baseVersion], ['requested', null, 0, 0], 'planned, and not its fault');

  // What comes meanwhile is for a later round.
  await collect(db, policy.learner, { tasks: 1, group: 4, seed: 9, version: 0, name: 'later' });
  const second = startTrainerProcess({ config });
  try {
    const done = await ended(world, round);
    assert.equal(done.state, 'promoted', done.error ?? '');
    assert.equal(done.metrics?.['steps'], 16);
  } finally {
    await second.stop();
  }
});

await test('the trainer ends when the process that started it is killed', async () => {
  await using world = makeWorld();
  const script = `
    import { startTrainerProcess } from ${JSON.stringify(new URL('../../trainer/process.ts', import.meta.url).href)};
    console.log(startTrainerProcess({ config: JSON.parse(process.argv.at(-1)) }).pid);`;
  const parent = spawn(process.execPath, ['--input-type=module-typescript', '-e', script, JSON.stringify(configFor(world))], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(parent.stdout, 'data');
  const pid = Number(String(line).trim());
  await ended(world, requestRound(world.db)); // it works, and waits for more
  assert.ok(isAlive(pid));
  parent.kill('SIGKILL');
  for (let waited = 0; isAlive(pid) && waited < 8000; waited += 50) await sleep(50);
  assert.ok(!isAlive(pid), `the trainer ${pid} outlived its parent`);
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false; // no such process
  }
}
