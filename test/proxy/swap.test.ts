/** A policy swapped while a stream runs, through the whole proxy and the real engine. */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { configSchema } from '../../config/schema.ts';
import { createLog } from '../../proxy/log.ts';
import { startProxy } from '../../proxy/main.ts';
import { openDatabase } from '../../store/open.ts';
import { insertCandidate } from '../../store/policies.ts';
import { getStep, listSteps } from '../../store/steps.ts';
import { publishPolicy } from '../../trainer/publish.ts';
import { writeChainModel } from './backends/embedded/chain-model.ts';
import { tempDir, until } from './harness.ts';

for (const swap of ['finish', 'cross'] as const) {
  test(`${swap}: streams end normally, their steps say which version sampled what`, async () => {
    const home = tempDir();
    const model = writeChainModel(join(home, 'chain'));
    const config = configSchema.parse({
      dataDir: join(home, 'data'), server: { port: 0 }, trainer: { method: 'full' },
      backend: { kind: 'embedded', model, maxContext: 512, threads: 1, swap },
    });
    await using proxy = await startProxy(config, { env: {}, log: createLog('silent') });
    using trainer = openDatabase(config.dataDir);
    const published = publishPolicy(config.dataDir, {
      version: 1, kind: 'full', parentVersion: 0, roundId: 0, model: proxy.backend.fingerprint ?? '', createdAt: 0,
    }, (directory) => {
      mkdirSync(directory, { recursive: true });
      writeChainModel(directory, [['<say>', 'Green']]);
    });
    insertCandidate(trainer, { version: 1, kind: 'full', parentVersion: 0, roundId: null, ...published });

    const ask = (more: object) => fetch(`${proxy.url}/v1/chat/completions`, {
      // So hot that it hardly ever says its end token: a long stream.
      method: 'POST', body: JSON.stringify({ model: 'chain', messages: [{ role: 'user', content: 'x' }], temperature: 2, ...more }),
    });
    // Two clients that always have a stream open, from before the swap until after it.
    let isSwapped = false;
    const client = async (seed: number) => {
      for (let after = 0; after < 2; seed += 2) {
        after += Number(isSwapped);
        const response = await ask({ stream: true, seed });
        const text = await response.text();
        assert.match(text, /"finish_reason":"(stop|length)"[\s\S]*data: \[DONE\]\n\n$/);
        assert.doesNotMatch(text, /"error"/);
      }
    };
    const clients = Promise.all([client(1), client(2)]);
    await until(() => listSteps(trainer).items.length > 2);
    const promoted = await fetch(`${proxy.url}/admin/policies/1/promote`, { method: 'POST', body: '{}' });
    assert.equal(promoted.status, 200);
    isSwapped = true;
    await clients;

    await proxy.settled();
    const steps = listSteps(trainer, { order: 'oldest', limit: 1000 }).items.map(({ id }) => getStep(trainer, id));
    for (const step of steps) {
      assert.equal(step?.state, 'complete');
      assert.equal(step.quarantineReason, null);
      assert.equal(step.versionSpans?.at(-1)?.to, step.completionIds?.length);
    }
    const versions = steps.map((step) => step?.versionSpans?.map((span) => span.version).join('→'));
    assert.equal(versions[0], '0');
    assert.equal(versions.at(-1), '1');
    assert.equal(versions.includes('0→1'), swap === 'cross', versions.join(' '));
    rmSync(home, { recursive: true });
  });
}
