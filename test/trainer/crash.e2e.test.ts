import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readdirSync, watch } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Config, configSchema } from '../../config/schema.ts';
import { currentVersion, listPolicies } from '../../store/policies.ts';
import { findRound, listRounds, requestRound, type Round } from '../../store/rounds.ts';
import { policyVersion } from '../../trainer/policy.ts';
import { startTrainerProcess, type TrainerProcess } from '../../trainer/process.ts';
import { verifyPolicy } from '../../trainer/publish.ts';
import { seededRandom } from '../../trainer/random.ts';
import { goldenPath } from './golden.ts';
import { collect, makeWorld, trainerConfig, type World } from './world.ts';

const rounds = 50;

function configFor(world: World): Config {
  const model = join(world.db.dataDir, 'model');
  cpSync(world.model.path, model, { recursive: true, filter: (source) => !source.includes('lora') });
  cpSync(goldenPath('tokenizers/qwen/tokenizer.json'), join(model, 'tokenizer.json'));
  const trainer = trainerConfig({ epochs: 4, minibatches: 2, optimizer: { learningRate: 0.01, schedule: 'cosine', totalSteps: 8 * rounds } });
  return configSchema.parse({ dataDir: world.db.dataDir, backend: { kind: 'embedded', model }, trainer: { ...trainer, pollMs: 5 } });
}

type Kill = 'at a random moment' | 'while it writes a policy' | 'once a policy has its name';
const kills: readonly Kill[] = ['at a random moment', 'at a random moment', 'while it writes a policy', 'once a policy has its name'];

/** A trainer that is killed, and started again. */
class Victim {
  readonly #config: Config;
  #trainer: TrainerProcess;
  deaths = 0;

  constructor(config: Config) {
    this.#config = config;
    this.#trainer = startTrainerProcess({ config });
  }

  /** Kills it at that point of the round; a round that ends before is let be. */
  async killDuring(world: World, round: Round, when: Kill, delayMs: number): Promise<void> {
    const policies = join(world.db.dataDir, 'policies');
    const watcher = watch(policies);
    const point = new Promise<void>((resolve) => {
      if (when === 'at a random moment') setTimeout(resolve, delayMs);
      else watcher.on('change', (_, name) => { if (String(name).startsWith('.tmp-') === (when === 'while it writes a policy')) resolve(); });
    });
    await Promise.race([point, ended(world, round)]);
    watcher.close();
    const { pid } = this.#trainer;
    if (hasEnded(world, round) || pid === undefined) return;
    process.kill(pid, 'SIGKILL');
    this.deaths++;
    await this.#trainer.stop();
    for (const name of readdirSync(policies).filter((entry) => /^\d+$/.test(entry))) verifyPolicy(join(policies, name));
    this.#trainer = startTrainerProcess({ config: this.#config });
  }

  stop(): Promise<void> {
    return this.#trainer.stop();
  }
}

function hasEnded({ db }: World, { id }: Round): boolean {
  const state = findRound(db, id)?.state;
  return state !== 'requested' && state !== 'running';
}

async function ended(world: World, round: Round): Promise<void> {
  for (let waited = 0; !hasEnded(world, round); waited += 5) {
    if (waited > 60_000) throw new Error(`round ${round.id} does not end`);
    await sleep(5);
  }
}

/** In [0, 1], another one each round: there is always something to learn. */
function everChanging(tokens: readonly number[], round: number): number {
  return tokens.reduce((sum, token, i) => (sum * 31 + token * (i + round + 1)) % 11, 0) / 10;
}

/** Rounds on what each policy in turn does; returns the SHA-256 of every file of every policy. */
async function train(killing: boolean): Promise<{ readonly hashes: readonly object[]; readonly deaths: number; readonly interruptions: number }> {
  await using world = makeWorld();
  const { db } = world;
  mkdirSync(join(db.dataDir, 'policies'));
  const config = configFor(world);
  const actor = await world.policy(config.trainer);
  const random = seededRandom(7);
  const victim = new Victim(config);
  try {
    for (let version = 0; version < rounds; version++) {
      assert.equal(currentVersion(db), version);
      actor.load(policyVersion(db, version), 0);
      await collect(db, actor.learner, { tasks: 2, group: 4, seed: version, version, reward: (tokens) => everChanging(tokens, version) });
      const round = requestRound(db, { seed: version });
      for (let time = 0; time < (killing ? 2 : 0); time++) {
        // A start takes most of a second, the round itself less.
        await victim.killDuring(world, round, kills[Math.floor(random() * kills.length)] ?? 'at a random moment', random() * 1200);
      }
      await ended(world, round);
      const { state, error } = findRound(db, round.id) ?? round;
      assert.equal(state, 'promoted', error ?? '');
    }
    const all = listRounds(db, { limit: 1000 }).items;
    assert.equal(all.length, rounds);
    assert.deepEqual(listPolicies(db).map((policy) => policy.version), Array.from({ length: rounds + 1 }, (_, i) => rounds - i));
    assert.equal(db.sqlite.pragma('integrity_check', { simple: true }), 'ok');
    const hashes = Array.from({ length: rounds }, (_, i) => {
      const { 'adapter_model.safetensors': adapter, 'optimizer.safetensors': optimizer } = verifyPolicy(join(db.dataDir, 'policies', String(i + 1))).files;
      return { adapter, optimizer };
    });
    return { hashes, deaths: victim.deaths, interruptions: all.reduce((sum, round) => sum + round.interruptions, 0) };
  } finally {
    await victim.stop();
  }
}

await test('fifty rounds of a trainer that is killed again and again make the policies of one that never was', async () => {
  const calm = await train(false);
  const wild = await train(true);
  console.log(`killed ${wild.deaths} times, ${wild.interruptions} of them in the middle of a round`);
  assert.deepEqual([calm.deaths, calm.interruptions], [0, 0]);
  assert.ok(wild.interruptions > rounds / 4, 'enough of them to mean something');
  assert.deepEqual(wild.hashes, calm.hashes);
  assert.equal(new Set(calm.hashes.map((hash) => JSON.stringify(hash))).size, rounds);
});
