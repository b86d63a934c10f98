import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { locateModel } from '../../model/locate.ts';
import { openModel, openText } from '../../model/open.ts';
import { readSafetensors, writeSafetensors } from '../../model/weights/safetensors.ts';

const fixture = (path: string): string => fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'open-'));
after(() => rmSync(work, { recursive: true }));

const FILES = ['config.json', 'generation_config.json', 'model.safetensors'].map((file) => fixture(`golden/models/llama-tied/${file}`));
const TOKENIZER = ['tokenizer.json', 'tokenizer_config.json'].map((file) => fixture(`golden/tokenizers/qwen/${file}`));
const TEMPLATE = '{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}';

/** A whole Hugging Face directory: the golden Llama with a golden tokenizer. */
function directory(name: string, extra: Record<string, string> = {}): string {
  const path = join(work, name);
  mkdirSync(path, { recursive: true });
  for (const file of [...FILES, ...TOKENIZER]) copyFileSync(file, join(path, file.split('/').at(-1)!));
  for (const [file, text] of Object.entries(extra)) writeFileSync(join(path, file), text);
  return path;
}

function hashOf(...files: string[]): string {
  const hash = createHash('sha256');
  for (const file of files) hash.update(readFileSync(file));
  return hash.digest('hex');
}

test('a Hugging Face directory', async () => {
  const path = directory('whole', { 'chat_template.jinja': TEMPLATE });
  const model = await openModel(path);
  assert.equal(model.name, 'whole');
  assert.equal(model.path, path);
  assert.deepEqual(model.weights.shape('model.layers.1.mlp.up_proj.weight'), [56, 32]);
  assert.equal(model.weights.read('model.norm.weight').data.length, 32);
  assert.deepEqual(model.config.eosTokenIds, [2], 'config.json, generation_config.json and the tokenizer agree');
  assert.equal(model.chatTemplate.render({ messages: [{ role: 'user', content: 'hi' }], addGenerationPrompt: true }), 'hi<|im_end|>');
  assert.equal(model.fingerprint, hashOf(join(path, 'config.json'), join(path, 'model.safetensors')));
  model.weights.close();
});

test('shards are one model', async () => {
  const path = directory('sharded', { 'chat_template.jinja': TEMPLATE });
  const whole = readSafetensors(join(path, 'model.safetensors'));
  const shards = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
  const weightMap = Object.fromEntries(whole.names().map((name, i) => [name, shards[i % 2]!]));
  for (const shard of shards) writeSafetensors(join(path, shard), whole.names().filter((name) => weightMap[name] === shard).map((name) => [name, whole.read(name)]));
  rmSync(join(path, 'model.safetensors'));
  writeFileSync(join(path, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map: weightMap }));

  const model = await openModel(path, { name: 'joined' });
  assert.equal(model.name, 'joined');
  assert.deepEqual(model.weights.names().toSorted(), whole.names().toSorted());
  for (const name of whole.names()) assert.deepEqual(model.weights.read(name), whole.read(name));
  assert.equal(model.fingerprint, hashOf(join(path, 'config.json'), ...shards.map((shard) => join(path, shard))));
  model.weights.close();
  whole.close();

  rmSync(join(path, shards[1]!));
  await assert.rejects(openModel(path), { name: 'ModelError', code: 'not_found', message: /00002-of-00002/ });
});

test('a GGUF file', async () => {
  const path = fixture('gguf/tiny.gguf');
  const model = await openModel(path);
  assert.equal(model.name, 'tiny');
  assert.equal(model.fingerprint, hashOf(path));
  const prompt = model.chatTemplate.render({ messages: [{ role: 'user', content: 'the 12' }], addGenerationPrompt: true });
  assert.equal(prompt, '<|im_start|>user\nthe 12<|im_end|>\n<|im_start|>assistant\n');
  assert.equal(model.tokenizer.decode(model.tokenizer.encode(prompt)), prompt);
  assert.equal(model.tokenizer.encode(' the').length, 1);
  model.weights.close();
});

test('an id in the Hugging Face cache', () => {
  const hub = join(work, 'home', 'hub', 'models--org--tiny-model');
  const snapshot = join(hub, 'snapshots', 'abc123');
  mkdirSync(snapshot, { recursive: true });
  mkdirSync(join(hub, 'refs'));
  writeFileSync(join(hub, 'refs', 'main'), 'abc123\n');
  assert.deepEqual(locateModel('org/tiny-model', { HF_HOME: join(work, 'home') }), { kind: 'directory', path: snapshot, name: 'org/tiny-model' });
  assert.equal(locateModel('org/tiny-model', { HF_HUB_CACHE: join(work, 'home', 'hub'), HF_HOME: '/elsewhere' }).path, snapshot);
  assert.throws(() => locateModel('org/other', { HF_HOME: join(work, 'home') }), { name: 'ModelError', code: 'not_found', message: /hf download org\/other/ });
});

test('the chat template: a file, one in tokenizer_config.json, named ones, a given one, or none', () => {
  const render = (path: string, tools?: unknown[], chatTemplatePath?: string): string =>
    openText(path, { chatTemplatePath }).chatTemplate.render({ messages: [], addGenerationPrompt: false, ...(tools && { tools }) });
  const config = (chat_template: unknown): Record<string, string> => ({ 'tokenizer_config.json': JSON.stringify({ eos_token: '<|im_end|>', chat_template }) });

  assert.equal(render(directory('from-config', config('in config'))), 'in config');
  assert.equal(render(directory('from-file', { ...config('in config'), 'chat_template.jinja': 'in file' })), 'in file');
  const named = directory('named', config([{ name: 'default', template: 'plain' }, { name: 'tool_use', template: 'tools' }]));
  assert.equal(render(named), 'plain');
  assert.equal(render(named, [{}]), 'tools');
  writeFileSync(join(work, 'mine.jinja'), 'mine');
  assert.equal(render(named, [{}], join(work, 'mine.jinja')), 'mine');
  assert.throws(() => render(named, [], join(work, 'absent.jinja')), { name: 'ModelError', code: 'not_found' });
  assert.throws(() => render(directory('without')), { name: 'ChatTemplateError', message: /no chat template/ });
  assert.throws(() => render(directory('odd', config([{ name: 'rag', template: '' }]))), { code: 'invalid_config', message: /"default"/ });
});

test('what is missing or does not fit is said in one sentence', async () => {
  const rejects = async (path: string, code: string, message: RegExp): Promise<void> => {
    await assert.rejects(openModel(path), (error) => error instanceof Error && error.name === 'ModelError' && 'code' in error && error.code === code && message.test(error.message) && !error.message.includes('\n'));
  };
  await rejects(join(work, 'nowhere'), 'not_found', /no model at .*nowhere; give/);
  await rejects(join(work, 'nowhere.gguf'), 'not_found', /no model at/);
  await rejects(fixture('gguf/expected.json'), 'not_found', /neither a Hugging Face model directory nor a \.gguf file/);
  for (const file of ['config.json', 'tokenizer.json', 'model.safetensors']) {
    const path = directory(`no-${file}`);
    rmSync(join(path, file));
    await rejects(path, 'not_found', new RegExp(file.replace('.', '\\.')));
  }
  await rejects(directory('bad-json', { 'config.json': '{' }), 'corrupt', /config\.json is not JSON/);
  const config = JSON.parse(readFileSync(FILES[0]!, 'utf8')) as Record<string, unknown>;
  await rejects(directory('deeper', { 'config.json': JSON.stringify({ ...config, num_hidden_layers: 3 }) }), 'corrupt', /no tensor "model\.layers\.2\./);
  await rejects(directory('shallower', { 'config.json': JSON.stringify({ ...config, num_hidden_layers: 1 }) }), 'unsupported', /tensor "model\.layers\.1\.[a-z_.]*" has no place in a llama model/);
  await rejects(directory('wider', { 'config.json': JSON.stringify({ ...config, vocab_size: 98 }) }), 'corrupt', /"model\.embed_tokens\.weight" is \[97, 32\], .*\[98, 32\]/);
  await rejects(directory('untied', { 'config.json': JSON.stringify({ ...config, tie_word_embeddings: false }) }), 'corrupt', /lm_head\.weight/);
});
