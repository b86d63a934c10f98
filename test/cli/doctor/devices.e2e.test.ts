import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { describeDevices } from '../../../cli/doctor/devices.ts';
import { RunError } from '../../../cli/failure.ts';
import { skipWithoutSwiftShader, swiftShaderEnvironment } from '../../fixtures/swiftshader/find.ts';

const runtime = join(dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json')), 'bin/napi-v6/linux/x64');
const hasCuda = existsSync(join(runtime, 'libonnxruntime_providers_cuda.so'));
// The processes that try a device inherit it.
Object.assign(process.env, swiftShaderEnvironment);

test('the doctor finds a device that works', { skip: skipWithoutSwiftShader }, async () => {
  assert.match(await describeDevices('webgpu'), /^trains on webgpu; webgpu works here, cuda /);
});

test('what is configured and missing is a sentence; what is not configured is no failure', { skip: hasCuda && 'this machine has the CUDA libraries' }, async () => {
  assert.match(await describeDevices('cpu'), /^trains on cpu; webgpu .*, cuda does not \(why: --set trainer\.device=cuda\)$/);
  await assert.rejects(describeDevices('cuda'), (error) => error instanceof RunError && error.message.startsWith('trainer.device: cuda does not work here. CUDA needs an NVIDIA GPU'));
});
