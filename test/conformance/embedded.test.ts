import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { writeChainModel } from '../proxy/backends/embedded/chain-model.ts';
import { conformance } from './suite.ts';
import { openSubject } from './subject.ts';

const home = mkdtempSync(join(tmpdir(), 'fulgurite-'));
after(() => { rmSync(home, { recursive: true }); });

conformance('embedded', async () => {
  const backend = { kind: 'embedded', model: writeChainModel(join(home, 'chain')), maxContext: 2048, threads: 1 };
  const subject = await openSubject({ backend, running: async () => Number(/fulgurite_engine\{stat="rows_running"\} (\d+)/.exec(await (await fetch(`${subject.url}/metrics`)).text())?.[1]) });
  return subject;
});
