import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { fulgurite } from './spawn.ts';
import { startStandIn } from './stand-in-server.ts';

const cwd = mkdtempSync(join(tmpdir(), 'fulgurite-cli-'));
after(() => rmSync(cwd, { recursive: true }));
writeFileSync(join(cwd, 'tasks.jsonl'), '{"id": "a"}\n{"id": "b"}\n');
writeFileSync(join(cwd, 'broken.jsonl'), '{"id": "a"}\n{oops\n');
writeFileSync(join(cwd, 'typo.yaml'), 'backend: {kind: embedded, model: m}\ntrainer: {learningRate: 1}\n');
writeFileSync(join(cwd, 'keys.yaml'), 'backend: {kind: openai, baseUrl: "http://127.0.0.1:9/v1"}\nserver: {keys: [{key: agents-only, scope: agent}]}\n');
writeFileSync(join(cwd, 'text.txt'), 'no model\n');
const tiny = fileURLToPath(new URL('../fixtures/gguf/tiny.gguf', import.meta.url));

const wrong: readonly [args: string, says: RegExp][] = [
  ['trian', /Unknown command 'trian' \(did you mean train\?\)/],
  ['serve --prot 1', /Unknown option '--prot' \(did you mean --port\?\)/],
  ['serve', /No model is given: use --model PATH/],
  ['serve --model nothere', /There is no model at nothere/],
  ['serve --model text.txt', /text\.txt is neither a Hugging Face model directory nor a \.gguf file/],
  ['serve --model m --upstream http://h/v1', /Give either --model or --upstream, not both/],
  ['serve --config nothere.yaml', /Cannot read the configuration nothere\.yaml: there is no such file/],
  ['serve --config typo.yaml', /typo\.yaml: unknown key trainer\.learningRate; did you mean trainer\.optimizer\.learningRate\?/],
  ['serve --model m --set server.port=many', /server\.port is "many", but must be a whole number from 0 to 65535/],
  ['serve --model m --set backend.maxRow=3', /unknown key backend\.maxRow; did you mean backend\.maxRows\?/],
  ['serve --model m --set trainer.optimizer.schedule=cosine', /trainer\.optimizer\.totalSteps: a linear or cosine schedule needs to know/],
  ['serve --model m --port x', /argument 'x' is invalid\. It must be a whole number of at least 0/],
  [`serve --model ${tiny} --host 0.0.0.0`, /keys/],
  ['run -- true', /--tasks FILE is missing/],
  ['run --taks tasks.jsonl -- true', /Unknown option '--taks' \(did you mean --tasks\?\)/],
  ['run --tasks nothere.jsonl -- true', /Cannot read the tasks nothere\.jsonl: there is no such file/],
  ['run --tasks broken.jsonl -- true', /broken\.jsonl, line 2 is not JSON/],
  ['run --tasks tasks.jsonl', /Missing required argument 'command'/],
  ['run --tasks tasks.jsonl -- no-such-program', /Cannot start no-such-program: no such program in PATH/],
  ['run --tasks tasks.jsonl -- ./tasks.jsonl', /Cannot start \.\/tasks\.jsonl: the file is not executable/],
  ['run --tasks tasks.jsonl --reward ./nothere -- true', /Cannot start \.\/nothere: there is no such file/],
  ['run --tasks tasks.jsonl --group 0 -- true', /--group <number>' argument '0' is invalid\. It must be a whole number of at least 1/],
  ['run --tasks tasks.jsonl --mode foo -- true', /must be one of train, val, live/],
  ['run --tasks tasks.jsonl --url nonsense -- true', /--url must be a URL/],
  ['run --tasks tasks.jsonl --url http://h --model m -- true', /Give either --url/],
  ['run --tasks tasks.jsonl --config keys.yaml -- true', /none of scope "admin"/],
  ['train --tasks tasks.jsonl --until-val 1 -- true', /--until-val needs validation tasks/],
  ['train --tasks tasks.jsonl --val nothere.jsonl -- true', /Cannot read the tasks nothere\.jsonl/],
  ['policies promote x', /value 'x' is invalid for argument 'version'/],
  ['export --data nothere', /There is no database at .*nothere/],
  ['export --mode foo', /must be one of train, val, live/],
  ['export --since yesterday', /--since must be a date/],
  ['doctor --model nothere', /There is no model at nothere/],
  ['config --set', /argument missing/],
  ['demo --rounds 0', /It must be a whole number of at least 1/],
];
for (const [args, says] of wrong) {
  test(`exit code 2 and one sentence: fulgurite ${args.replace(tiny, 'tiny.gguf')}`, async () => {
    const { code, stdout, stderr } = await fulgurite(args.split(' '), { cwd }).finished;
    assert.match(stderr, says);
    assert.equal(stderr.trim().split('\n').length, 1, stderr);
    assert.equal(code, 2);
    assert.equal(stdout, '');
  });
}

test('a command that cannot be started leaves no rollout behind', async () => {
  await using server = await startStandIn();
  const { code } = await fulgurite(['run', '--tasks', 'tasks.jsonl', '--url', server.url, '--', 'no-such-program'], { cwd }).finished;
  assert.equal(code, 2);
  assert.deepEqual(server.rollouts, []);
});

test('a server that is not there is exit code 1 and one sentence', async () => {
  const gone = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => { gone.once('listening', resolve); });
  const { port } = gone.address() as AddressInfo; // TCP
  await new Promise((resolve) => { gone.close(resolve); });
  const { code, stderr } = await fulgurite(['policies', '--url', `http://127.0.0.1:${port}`], { cwd }).finished;
  assert.equal(code, 1);
  assert.match(stderr, /^Cannot reach a server at http:\/\/127\.0\.0\.1:\d+: connection refused\..*\n$/);
});

test('a wrong key says what to do', async () => {
  await using server = await startStandIn({ adminKey: 'right-key' });
  const args = ['run', '--tasks', 'tasks.jsonl', '--group', '1', '--url', server.url];
  const refused = await fulgurite([...args, '--', 'true'], { cwd }).finished;
  assert.deepEqual([refused.code, refused.stderr], [1, 'Incorrect API key provided. Give a key with --api-key.\n']);
  const accepted = await fulgurite([...args, '--', 'true'], { cwd, env: { FULGURITE_API_KEY: 'right-key' } }).finished;
  assert.equal(accepted.code, 0, accepted.stderr);
});

test('run --json: one line for each rollout on stdout, the rest on stderr, and one failing agent told once', async () => {
  await using server = await startStandIn();
  const { code, stdout, stderr } = await fulgurite(['run', '--tasks', 'tasks.jsonl', '--group', '3', '--url', server.url, '--json', '--shell', '--', 'echo "cannot think" >&2; exit 7'], { cwd }).finished;
  assert.equal(code, 0);
  const lines = stdout.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.equal(lines.length, 6);
  assert.deepEqual([lines[0]?.['state'], lines[0]?.['reward'], lines[0]?.['problem']], ['failed', 0, 'exit code 7']);
  assert.equal(stderr.split('cannot think').length - 1, 1);
  assert.match(stderr, /6 rollouts, 0 succeeded, 6 failed, 0 timed out, mean reward 0\.000\./);
});

test('rewards that could not be had are exit code 1', async () => {
  await using server = await startStandIn();
  const { code, stderr } = await fulgurite(['run', '--tasks', 'tasks.jsonl', '--group', '1', '--url', server.url, '--reward', 'false', '--', 'true'], { cwd }).finished;
  assert.equal(code, 1);
  assert.match(stderr, /2 of 2 rollouts have no reward/);
});

test('Ctrl-C ends the agents and their rollouts, and exits 130', { timeout: 20_000 }, async () => {
  await using server = await startStandIn();
  await using run = fulgurite(['run', '--tasks', 'tasks.jsonl', '--group', '2', '--url', server.url, '--', 'sleep', '60'], { cwd });
  while (server.rollouts.length < 4) await new Promise((resolve) => { setTimeout(resolve, 20); });
  run.child.kill('SIGINT');
  const { code } = await run.finished;
  assert.equal(code, 130);
  assert.deepEqual(server.rollouts.map(({ state }) => state), ['cancelled', 'cancelled', 'cancelled', 'cancelled']);
});

test('every command has help with an example', async () => {
  const { stdout } = await fulgurite(['--help'], { cwd }).finished;
  const names = [...stdout.matchAll(/^ {2}(\w+) .*\S/gm)].map((match) => match[1] ?? '').filter((name) => name !== 'help');
  assert.ok(names.includes('serve') && names.includes('demo'), stdout);
  for (const name of names) {
    const help = await fulgurite([name, '--help'], { cwd }).finished;
    assert.equal(help.code, 0);
    assert.match(help.stdout, new RegExp(`Example:\\n {2}\\$ fulgurite ${name}`), name);
  }
});
