import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { writeChainModel } from '../proxy/backends/embedded/chain-model.ts';
import { startSglangStandIn } from './stand-in/sglang.ts';
import { openSubject } from './subject.ts';
import { conformance } from './suite.ts';

const home = mkdtempSync(join(tmpdir(), 'fulgurite-'));
after(() => { rmSync(home, { recursive: true }); });
const model = writeChainModel(join(home, 'chain'));

for (const incremental of [false, true]) {
  conformance(`SGLang (stand-in, events of ${incremental ? 'what is new' : 'all so far'})`, async () => {
    const server = await startSglangStandIn({ model, cacheDir: join(home, 'cache'), maxContext: 2048, incremental });
    return openSubject({ backend: { kind: 'sglang', baseUrl: server.url, model, toolFormat: 'none' }, running: server.running, server });
  }, { forms: 'nobody' });
}
