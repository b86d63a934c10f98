/** What cannot be trained is refused in a sentence that names it, and nothing is published. */
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { configSchema } from '../../config/schema.ts';
import { readSafetensors, writeSafetensors } from '../../model/weights/safetensors.ts';
import { listRoundSteps } from '../../store/round-steps.ts';
import { findRound, requestRound, type Round } from '../../store/rounds.ts';
import { policyVersion } from '../../trainer/policy.ts';
import { startTrainerProcess } from '../../trainer/process.ts';
import { fulgurite } from '../cli/spawn.ts';
import { goldenPath } from './golden.ts';
import { collect, makeWorld, trainerConfig, type World } from './world.ts';

/** The tiny golden model with a tokenizer, so that it is a whole Hugging Face directory. */
function wholeModel(directory: string): string {
  const model = join(directory, 'model');
  cpSync(goldenPath('models/llama-tied'), model, { recursive: true, filter: (source) => !source.includes('lora') });
  cpSync(goldenPath('tokenizers/qwen/tokenizer.json'), join(model, 'tokenizer.json'));
  return model;
}

function editConfig(model: string, change: Record<string, unknown>): void {
  const path = join(model, 'config.json');
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...change }));
}

/** Two shards and their index, in place of the one file. */
function shard(model: string): string {
  const whole = readSafetensors(join(model, 'model.safetensors'));
  const names = whole.names();
  const files = { 'model-00001-of-00002.safetensors': names.slice(0, 5), 'model-00002-of-00002.safetensors': names.slice(5) };
  for (const [file, own] of Object.entries(files)) writeSafetensors(join(model, file), own.map((name) => [name, whole.read(name)]));
  whole.close();
  rmSync(join(model, 'model.safetensors'));
  const weight_map = Object.fromEntries(Object.entries(files).flatMap(([file, own]) => own.map((name) => [name, file])));
  writeFileSync(join(model, 'model.safetensors.index.json'), JSON.stringify({ weight_map }));
  return join(model, 'model-00002-of-00002.safetensors');
}

describe('a trainer that cannot start says why in a sentence and ends with 2', () => {
  const cases: readonly { name: string; spoil: (model: string) => void; sentence: RegExp }[] = [
    { name: 'an unknown architecture', spoil: (model) => { editConfig(model, { model_type: 'mamba', architectures: ['MambaForCausalLM'] }); }, sentence: /config\.json: not supported: model_type "mamba"/ },
    { name: 'a quantized checkpoint', spoil: (model) => { editConfig(model, { quantization_config: { quant_method: 'gptq', bits: 4 } }); }, sentence: /not supported: quantization_config: weights must be stored as F32, F16 or BF16/ },
    { name: 'a corrupt shard', spoil: (model) => { truncateSync(shard(model), 3000); }, sentence: /model-00002-of-00002\.safetensors is not a whole safetensors file: / },
    { name: 'a missing shard', spoil: (model) => { rmSync(shard(model)); }, sentence: /model-00002-of-00002\.safetensors/ },
  ];
  for (const { name, spoil, sentence } of cases) {
    it(name, async (t) => {
      const directory = mkdtempSync(join(tmpdir(), 'fulgurite-refusals-'));
      t.after(() => { rmSync(directory, { recursive: true, force: true }); });
      const model = wholeModel(directory);
      spoil(model);
      const { code, stderr } = await fulgurite(['trainer', '--model', model, '--data', join(directory, 'data')]).finished;
      assert.equal(code, 2, stderr);
      assert.match(stderr, sentence);
      assert.match(stderr, /^[^\n]+\n$/, 'one line');
      assert.deepEqual(readdirSync(join(directory, 'data/policies')), []);
    });
  }
});

async function ended(world: World, { id }: Round): Promise<Round> {
  for (let waited = 0; waited < 20_000; waited += 10) {
    const round = findRound(world.db, id);
    if (round && round.state !== 'requested' && round.state !== 'running') return round;
    await sleep(10);
  }
  throw new Error(`round ${id} is still ${findRound(world.db, id)?.state}`);
}

describe('a round that cannot be is ended with a sentence, and the trainer goes on', () => {
  it('wrong settings, wrong numbers, wrong files', async () => {
    await using world = makeWorld();
    const { db } = world;
    const trainer = { ...trainerConfig({ optimizer: { learningRate: 0.01 } }), pollMs: 10 };
    const config = configSchema.parse({ dataDir: db.dataDir, backend: { kind: 'embedded', model: wholeModel(db.dataDir) }, trainer });
    const policy = await world.policy(trainer);
    policy.load(policyVersion(db, 0), 1);
    const running = startTrainerProcess({ config });
    const refuse = async (request: Parameters<typeof requestRound>[1], state: Round['state'], sentence: RegExp): Promise<number> => {
      const before = existsSync(join(db.dataDir, 'policies')) ? readdirSync(join(db.dataDir, 'policies')) : [];
      const round = await ended(world, requestRound(db, { seed: 1, ...request }));
      assert.deepEqual([round.state, round.resultVersion], [state, null]);
      assert.match(round.error ?? '', sentence);
      assert.deepEqual(readdirSync(join(db.dataDir, 'policies')), before, 'nothing is published');
      return round.id;
    };
    const promote = async (): Promise<void> => {
      const round = await ended(world, requestRound(db, { seed: 1 }));
      assert.equal(round.state, 'promoted', round.error ?? '');
    };
    try {
      // Settings.
      await collect(db, policy.learner, { tasks: 1, group: 4, seed: 0, version: 0 });
      await refuse({ config: { lora: { targets: ['q_proj', 'qkv_proj'] } } }, 'failed', /"qkv_proj".*choose from q_proj/);
      await refuse({ config: { algorithm: { name: 'rloo', dualClip: 3 } } }, 'failed', /dualClip/);
      await refuse({ config: { algorithm: { name: 'grpo', lambda: 0.9 } } }, 'failed', /lambda/);
      await promote();

      // A recorded number: the round names the step, and the next one leaves it out.
      await collect(db, policy.learner, { tasks: 1, group: 4, seed: 1, version: 0, name: 'b' });
      db.sqlite.prepare('update steps set logprobs = ? where id = ?').run(Buffer.from(Float32Array.of(-1, NaN).buffer), 'st_b_0_2_1');
      const broken = await refuse({}, 'rejected', /^Step st_b_0_2_1 has a recorded log-prob that is not a finite number/);
      assert.deepEqual(listRoundSteps(db, broken, { used: false }).items.map((row) => [row.stepId, row.leftOutReason]), [['st_b_0_2_1', 'not_finite']]);
      await promote();

      // A computed one, at a temperature that overflows. (What an older version sampled is not compared first.)
      await collect(db, policy.learner, { tasks: 1, group: 4, seed: 2, version: 1, name: 'c' });
      db.sqlite.prepare("update steps set sampling = json_set(sampling, '$.temperature', 1e-40) where id = 'st_c_0_1_0'").run();
      await refuse({}, 'rejected', /^The gradient of base_model\S+ is not finite on step st_c_0_1_0, so nothing was published/);

      // The base version's files.
      const current = join(db.dataDir, 'policies/2/adapter_model.safetensors');
      const bytes = readFileSync(current);
      bytes[bytes.length - 1] = 1 ^ (bytes.at(-1) ?? 0);
      writeFileSync(current, bytes);
      await running.stop();
    } finally {
      await running.stop();
    }
    const again = startTrainerProcess({ config });
    try {
      const round = await ended(world, requestRound(db, { seed: 1 }));
      assert.deepEqual([round.state, round.resultVersion], ['failed', null]);
      assert.match(round.error ?? '', /policies\/2\/adapter_model\.safetensors is not what was published/);
    } finally {
      await again.stop();
    }
  });
});
