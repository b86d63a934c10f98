import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { writeChainModel } from '../proxy/backends/embedded/chain-model.ts';
import { startVllmStandIn } from './stand-in/vllm.ts';
import { openSubject } from './subject.ts';
import { conformance } from './suite.ts';

const home = mkdtempSync(join(tmpdir(), 'fulgurite-'));
after(() => { rmSync(home, { recursive: true }); });

for (const kind of ['vllm', 'openai'] as const) {
  conformance(`vLLM (stand-in), by backend.kind ${kind}`, async () => {
    const server = await startVllmStandIn(writeChainModel(join(home, 'chain')), join(home, 'cache'), 2048);
    const backend = kind === 'vllm' ? { kind, baseUrls: [`${server.url}/v1`] } : { kind, baseUrl: `${server.url}/v1` };
    return openSubject({ backend, running: server.running, server });
  });
}
