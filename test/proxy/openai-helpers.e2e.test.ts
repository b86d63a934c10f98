/** The Python client's helpers: needs a Python with `openai` 1.92 or later, named by FULGURITE_PYTHON or found as python3. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { configSchema } from '../../config/schema.ts';
import { createLog } from '../../proxy/log.ts';
import { startProxy } from '../../proxy/main.ts';
import { writeChainModel } from './backends/embedded/chain-model.ts';

const python = process.env['FULGURITE_PYTHON'] ?? 'python3';
const run = promisify(execFile);
const hasOpenai = await run(python, ['-c', 'import openai, pydantic; openai.OpenAI(api_key="x").chat.completions.parse']).then(() => true, () => false);

test('openai-python: parse, streams and tools', { skip: !hasOpenai && `${python} has no openai package of 1.92 or later: set FULGURITE_PYTHON` }, async () => {
  const home = mkdtempSync(join(tmpdir(), 'fulgurite-'));
  const backend = { kind: 'embedded', model: writeChainModel(join(home, 'chain')), maxContext: 2048, threads: 1 };
  const proxy = await startProxy(configSchema.parse({ dataDir: join(home, 'data'), server: { port: 0 }, trainer: { enabled: false }, backend }), { env: {}, log: createLog('silent') });
  try {
    const { stdout } = await run(python, [join(import.meta.dirname, 'openai_helpers.py'), proxy.url]);
    assert.match(stdout, /parse, stream and tools agree/);
  } finally {
    await proxy.close();
    rmSync(home, { recursive: true });
  }
});
