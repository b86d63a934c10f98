// SwiftShader computes what a GPU would, on the CPU: slow, the numbers are real.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { skipWithoutSwiftShader, swiftShaderEnvironment } from '../../fixtures/swiftshader/find.ts';
import { assertClose, maxAbs } from '../../model/golden.ts';
import { type Method, type TrainingSteps, trainingSteps } from './training-steps.ts';

const run = (program: string, args: readonly string[], environment: Readonly<Record<string, string>> = {}) =>
  promisify(execFile)(process.execPath, [join(import.meta.dirname, program), ...args], { env: { ...process.env, ...swiftShaderEnvironment, ...environment }, maxBuffer: 1 << 28 });

async function onWebGpu(model: string, method: Method): Promise<TrainingSteps> {
  const { stdout } = await run('training-steps.ts', ['webgpu', model, method]);
  return JSON.parse(stdout) as TrainingSteps; // printed by training-steps.ts
}

const largest = (tensors: Readonly<Record<string, readonly number[]>>): number => Math.max(...Object.values(tensors).map((data) => maxAbs(Float32Array.from(data))));

describe('training on webgpu computes what training on the cpu computes', { skip: skipWithoutSwiftShader }, () => {
  for (const [model, method] of [['llama-tied', 'lora'], ['gemma3-text', 'lora'], ['llama-tied', 'full']] as const) {
    test(`${model}, ${method}: log-probs, gradients, and the parameters after two steps`, async () => {
      const [cpu, gpu] = await Promise.all([trainingSteps('cpu', model, method), onWebGpu(model, method)]);
      assertClose(gpu.losses, cpu.losses, 1e-5, 'losses');
      assertClose(gpu.logprobs, cpu.logprobs, 1e-5, 'log-probs');
      assertClose(gpu.entropy, cpu.entropy, 1e-5, 'entropy');
      for (const [name, data] of Object.entries(cpu.gradients)) assertClose(gpu.gradients[name] ?? [], data, 2e-5 * largest(cpu.gradients), `gradient of ${name}`);
      for (const [name, data] of Object.entries(cpu.parameters)) assertClose(gpu.parameters[name] ?? [], data, 1e-4, name);
    });
  }
});

test('numbers stay on the device between the operations: only positions and the parts of the targets are made on the CPU', { skip: skipWithoutSwiftShader }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'webgpu-'));
  try {
    // The runtime's log goes to a file: from a pipe that is not read fast enough, lines would be missing.
    const log = openSync(join(directory, 'log'), 'w');
    const { status } = spawnSync(process.execPath, [join(import.meta.dirname, 'place-on-webgpu.ts'), 'llama-tied'], { env: { ...process.env, ...swiftShaderEnvironment }, stdio: ['ignore', 'ignore', log] });
    assert.equal(status, 0);
    const text = readFileSync(join(directory, 'log'), 'utf8');
    const [, onDevice = '0'] = /placed on \[WebGpuExecutionProvider\]\. Number of nodes: (\d+)/.exec(text) ?? [];
    assert.ok(Number(onDevice) > 300, `${onDevice} nodes on webgpu`);
    assert.deepEqual([...text.matchAll(/Add Memcpy\w+ (?:before|after) ([A-Z][A-Za-z]+)/g)].map(([, type]) => type), ['Cast', 'Slice', 'Slice', 'Slice', 'Slice']);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a device that is not there is a sentence', { skip: process.platform !== 'linux' && 'only Vulkan can be told to find no device' }, async () => {
  await assert.rejects(run('training-steps.ts', ['webgpu', 'llama-tied', 'lora'], { VK_DRIVER_FILES: '/nowhere.json', VK_ICD_FILENAMES: '/nowhere.json' }), (error: Error) => {
    assert.match(error.message, /TrainerError: trainer\.device: webgpu does not work here\. WebGPU needs a GPU/);
    return true;
  });
});
