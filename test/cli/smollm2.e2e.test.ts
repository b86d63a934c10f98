/** A real model: SmolLM2-135M-Instruct from a GGUF file is served, trained by one LoRA round, and swapped. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { skipWithoutSmollm2, smollm2Path } from '../fixtures/smollm2/find.ts';
import { writeOneCallAgent } from './one-call-agent.ts';
import { fulgurite } from './spawn.ts';

const cwd = mkdtempSync(join(tmpdir(), 'fulgurite-smollm2-'));
after(() => rmSync(cwd, { recursive: true }));
writeFileSync(join(cwd, 'tasks.jsonl'), '{"q": "Name a colour."}\n{"q": "Say hello."}\n');
writeOneCallAgent(join(cwd, 'agent.mjs'), 16);
// Short answers pay: any reward that differs between samples gives the round something to learn.
writeFileSync(join(cwd, 'reward.mjs'), `
  import { json } from 'node:stream/consumers';
  console.log(-(await json(process.stdin)).stdout.length / 100);
`);

const serving = ['--model', smollm2Path ?? '', '--data', 'data', '--set', 'log=silent', '--set', 'backend.maxContext=256'];

test('train runs a LoRA round on SmolLM2 and swaps it in', { skip: skipWithoutSmollm2, timeout: 400_000 }, async () => {
  const { code, stdout, stderr } = await fulgurite([
    'train', ...serving, '--tasks', 'tasks.jsonl', '--val', 'tasks.jsonl', '--rounds', '1', '--group', '4', '--json',
    '--reward', `${process.execPath} reward.mjs`, '--', process.execPath, 'agent.mjs',
  ], { cwd }).finished;
  assert.equal(code, 0, stderr);
  const round = JSON.parse(stdout.trim()) as { version: number; state: string; metrics: Record<string, number> };
  assert.deepEqual([round.version, round.state], [1, 'promoted']);
  assert.ok((round.metrics['gradNorm'] ?? 0) > 0);
  assert.ok((round.metrics['selfTestMax'] ?? 1) <= 1e-3, `recorded and recomputed log-probs differ by ${round.metrics['selfTestMax']}`);
});

test('doctor: engine and trainer agree on SmolLM2 with the trained adapter', { skip: skipWithoutSmollm2, timeout: 300_000 }, async () => {
  const { code, stdout, stderr } = await fulgurite(['doctor', ...serving, '--samples', '4', '--json'], { cwd }).finished;
  assert.equal(code, 0, stdout + stderr);
  const { checks } = JSON.parse(stdout) as { checks: { name: string; detail: string }[] };
  assert.match(checks.find(({ name }) => name === 'agreement')?.detail ?? '', /of version 1$/);
});
