import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { type PolicyManifest, publishPolicy, sweepPolicies } from '../../trainer/publish.ts';

function temporaryDirectory(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'fulgurite-publish-'));
  return { path, [Symbol.dispose]: () => { rmSync(path, { recursive: true, force: true }); } };
}
const policy = { version: 1, kind: 'adapter', parentVersion: 0, roundId: 7, model: 'abc', createdAt: 5 } as const;

/** Every numbered directory is whole: the manifest names each file with its right hash. Returns their names. */
function wholePolicies(dataDir: string): string[] {
  const published = readdirSync(join(dataDir, 'policies')).filter((name) => /^\d+$/.test(name));
  for (const name of published) {
    const directory = join(dataDir, 'policies', name);
    const manifest: PolicyManifest = JSON.parse(readFileSync(join(directory, 'policy.json'), 'utf8'));
    assert.deepEqual(Object.keys(manifest.files).sort(), readdirSync(directory).filter((file) => file !== 'policy.json').sort());
    for (const [file, hash] of Object.entries(manifest.files)) assert.equal(createHash('sha256').update(readFileSync(join(directory, file))).digest('hex'), hash);
  }
  return published;
}

await test('a policy is published with its manifest, and never over another', () => {
  using data = temporaryDirectory();
  const write = (directory: string) => { writeFileSync(join(directory, 'adapter_model.safetensors'), 'weights'); };
  const published = publishPolicy(data.path, policy, write);
  assert.equal(published.directory, join('policies', '1'));
  assert.equal(published.sha256, createHash('sha256').update('weights').digest('hex'));
  assert.deepEqual(wholePolicies(data.path), ['1']);
  assert.throws(() => publishPolicy(data.path, policy, (directory) => { writeFileSync(join(directory, 'adapter_model.safetensors'), 'others'); }), /ENOTEMPTY|EEXIST/);
  assert.equal(readFileSync(join(data.path, 'policies/1/adapter_model.safetensors'), 'utf8'), 'weights');
  assert.throws(() => publishPolicy(data.path, { ...policy, version: 2 }, () => {}), /without adapter_model/);
});

await test('the sweep removes what was never recorded, and nothing else', () => {
  using data = temporaryDirectory();
  const write = (directory: string) => { writeFileSync(join(directory, 'adapter_model.safetensors'), 'weights'); };
  for (const version of [1, 2]) publishPolicy(data.path, { ...policy, version }, write);
  assert.throws(() => publishPolicy(data.path, { ...policy, version: 3 }, () => { throw new Error('out of disk'); }));
  assert.deepEqual(sweepPolicies(data.path, new Set([0, 1])).sort(), [`.tmp-3-${process.pid}`, '2']);
  assert.deepEqual(readdirSync(join(data.path, 'policies')), ['1']);
});

await test('a kill at any moment leaves whole policies only', async () => {
  using data = temporaryDirectory();
  const script = `
    import { writeFileSync } from 'node:fs';
    import { publishPolicy } from ${JSON.stringify(new URL('../../trainer/publish.ts', import.meta.url).href)};
    const [dataDir, from] = process.argv.slice(-2);
    for (let version = Number(from); ; version++) {
      publishPolicy(dataDir, { version, kind: 'adapter', parentVersion: 0, roundId: 1, model: 'm', createdAt: 0 }, (directory) => {
        for (const name of ['adapter_config.json', 'adapter_model.safetensors', 'optimizer.safetensors']) writeFileSync(directory + '/' + name, Buffer.alloc(200_000, version));
      });
      if (version === Number(from)) console.log('publishing');
    }`;
  let published = 0;
  for (let round = 0; round < 4; round++) {
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script, data.path, String(round * 10_000 + 1)], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    await sleep(3 + round * 7);
    child.kill('SIGKILL');
    await once(child, 'exit');
    published = wholePolicies(data.path).length;
  }
  assert.ok(published >= 4);
  sweepPolicies(data.path, new Set(wholePolicies(data.path).map(Number)));
  assert.equal(readdirSync(join(data.path, 'policies')).length, published);
});
