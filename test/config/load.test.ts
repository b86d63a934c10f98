import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ConfigError } from '../../config/errors.ts';
import { loadConfig, parseConfig, withoutSecrets } from '../../config/load.ts';

const directory = mkdtempSync(join(tmpdir(), 'fulgurite-config-'));
after(() => rmSync(directory, { recursive: true }));

let files = 0;
function file(text: string): string {
  const path = join(directory, `${files++}.yaml`);
  writeFileSync(path, text);
  return path;
}

function sentence(load: () => unknown): string {
  try {
    load();
  } catch (error) {
    assert.ok(error instanceof ConfigError, `not a ConfigError: ${String(error)}`);
    assert.ok(!error.message.includes('\n'), 'one line');
    return error.message;
  }
  return assert.fail('the configuration was accepted');
}

const embedded = { backend: { kind: 'embedded', model: 'm' } };

test('defaults, file, --set and flags, each over the one before', () => {
  const path = file('backend: {kind: embedded, model: m, maxRows: 4}\nserver: {port: 1}\ntrainer: {seed: 3}\n');
  const config = loadConfig({
    file: path,
    sets: ['server.port=2', 'trainer.optimizer.learningRate=3e-4', 'backend.model=123', 'trainer.agents=[writer, planner]'],
    flags: (tree) => { tree['dataDir'] = 'elsewhere'; },
  });
  assert.equal(config.server.port, 2);
  assert.equal(config.server.host, '127.0.0.1');
  assert.equal(config.trainer.seed, 3);
  assert.equal(config.trainer.optimizer.learningRate, 3e-4);
  assert.deepEqual(config.trainer.agents, ['writer', 'planner']);
  assert.equal(config.dataDir, 'elsewhere');
  assert.ok(config.backend.kind === 'embedded');
  assert.equal(config.backend.maxRows, 4);
  assert.equal(config.backend.model, '123', 'a string setting keeps its text');
});

test('JSON is a configuration too', () => {
  assert.equal(loadConfig({ file: file(JSON.stringify({ ...embedded, server: { port: 9 } })) }).server.port, 9);
});

test('secrets come from the environment and are blanked for printing', () => {
  const path = file('backend: {kind: openai, baseUrl: "http://h/v1", apiKey: "env:UP"}\nserver: {keys: [{key: "env:ADMIN", scope: admin}]}\n');
  const config = loadConfig({ file: path, env: { UP: 'sk-upstream', ADMIN: 'an-admin-key' } });
  assert.ok(config.backend.kind === 'openai');
  assert.equal(config.backend.apiKey, 'sk-upstream');
  assert.equal(config.server.keys[0]?.key, 'an-admin-key');
  assert.doesNotMatch(JSON.stringify(withoutSecrets(config)), /sk-upstream|an-admin-key/);
  assert.match(sentence(() => loadConfig({ file: path, env: { UP: 'x' } })), /ADMIN, which is not set/);
});

const wrong: readonly [name: string, tree: unknown, says: RegExp][] = [
  ['a misspelt section', { ...embedded, sever: {} }, /^f: unknown key sever; did you mean server\?$/],
  ['a misspelt key', { backend: { kind: 'embedded', model: 'm', maxRow: 3 } }, /unknown key backend\.maxRow; did you mean backend\.maxRows\?/],
  ['a key in the wrong section', { ...embedded, trainer: { learningRate: 1 } }, /unknown key trainer\.learningRate; did you mean trainer\.optimizer\.learningRate\?/],
  ['a key that is near nothing', { ...embedded, trainer: { lora: { zzzzzzzz: 1 } } }, /allowed in trainer\.lora: rank, alpha, rsLora, targets\./],
  ['another kind\'s key', { backend: { kind: 'openai', baseUrl: 'http://h/v1', maxRows: 3 } }, /unknown key backend\.maxRows/],
  ['a wrong type', { ...embedded, trainer: { threads: 'many' } }, /trainer\.threads is "many", but must be a whole number of at least 0\./],
  ['a number out of range', { ...embedded, server: { port: 99999 } }, /server\.port is 99999, but must be a whole number from 0 to 65535\./],
  ['a fraction', { backend: { kind: 'embedded', model: 'm', maxRows: 1.5 } }, /backend\.maxRows is 1\.5, but must be a whole number above 0\./],
  ['an unknown choice', { ...embedded, trainer: { method: 'qlora' } }, /trainer\.method is "qlora", but must be one of "lora", "full"\./],
  ['another algorithm\'s key', { ...embedded, trainer: { algorithm: { name: 'ppo', group: 'calls' } } }, /unknown key trainer\.algorithm\.group with name ppo; it belongs to grpo, .*reinforce-pp-baseline\./],
  ['a key that the default algorithm does not have', { ...embedded, trainer: { algorithm: { lambda: 1 } } }, /unknown key trainer\.algorithm\.lambda with name grpo; it belongs to ppo\./],
  ['a misspelt key of an algorithm', { ...embedded, trainer: { algorithm: { name: 'ppo', clipLo: 1 } } }, /unknown key trainer\.algorithm\.clipLo; did you mean trainer\.algorithm\.clipLow\?/],
  ['a number out of an algorithm\'s range', { ...embedded, trainer: { algorithm: { name: 'ppo', lambda: 2 } } }, /trainer\.algorithm\.lambda is 2, but must be a number from 0 to 1\./],
  ['an unknown algorithm', { ...embedded, trainer: { algorithm: { name: 'gppo' } } }, /trainer\.algorithm\.name is "gppo", but must be one of "grpo", "dr-grpo", /],
  ['an algorithm that is no mapping', { ...embedded, trainer: { algorithm: 'ppo' } }, /trainer\.algorithm is "ppo", but must be a mapping with name: grpo or dr-grpo or /],
  ['settings that do not go together', { ...embedded, trainer: { algorithm: { normalizeByStd: false, deviation: 'batch' } } }, /trainer\.algorithm\.deviation: goes with normalizeByStd: true\./],
  ['credit that the algorithm cannot give', { ...embedded, trainer: { credit: { name: 'turn-values' } } }, /trainer\.credit\.name: turn-values needs a value head: only algorithm ppo has one\./],
  ['8 bits where training would take them for exact', { backend: { ...embedded.backend, weights: 'int8' } }, /backend\.weights: int8 samples from a policy that is a little off .* set trainer\.correction\.importance/],
  ['a bound that is missing', { ...embedded, trainer: { correction: { rejection: { max: 2 } } } }, /trainer\.correction\.rejection\.min: is needed with statistic k1\./],
  ['an unknown kind', { backend: { kind: 'embeded' } }, /backend\.kind is "embeded", but must be one of "embedded", "openai", "vllm", "llamacpp", "sglang"\./],
  ['no backend', {}, /backend is missing: it must be a mapping with kind: embedded or openai or vllm or llamacpp or sglang\./],
  ['a missing key', { backend: { kind: 'openai' } }, /backend\.baseUrl is missing: it must be a URL\./],
  ['a short secret', { ...embedded, server: { keys: [{ key: 'short', scope: 'agent' }] } }, /server\.keys\.0\.key is .* at least 8 characters/],
];
for (const [name, tree, says] of wrong) {
  test(`one sentence about ${name}`, () => assert.match(sentence(() => parseConfig(tree, 'f')), says));
}

test('one sentence about files and overrides that cannot be read', () => {
  assert.match(sentence(() => loadConfig({ file: join(directory, 'none.yaml') })), /Cannot read the configuration .*none\.yaml: there is no such file/);
  assert.match(sentence(() => loadConfig({ file: file('a: [1') })), /is not valid YAML/);
  assert.match(sentence(() => loadConfig({ file: file('- 1') })), /must be a mapping/);
  assert.match(sentence(() => loadConfig({ file: file('{}'), sets: ['trainer'] })), /--set takes KEY=VALUE/);
  assert.match(sentence(() => loadConfig({ file: file('server: 3'), sets: ['server.port=3'] })), /server is not a mapping/);
});

test('the ready configurations are valid', () => {
  const ready = new URL('../../config/ready/', import.meta.url);
  const names = readdirSync(ready);
  assert.ok(names.length >= 3);
  for (const name of names) loadConfig({ file: new URL(name, ready).pathname, env: { OPENAI_API_KEY: 'sk-test-key' } });
});
