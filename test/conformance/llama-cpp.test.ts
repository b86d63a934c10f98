import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { writeChainModel } from '../proxy/backends/embedded/chain-model.ts';
import { startLlamaCppStandIn } from './stand-in/llama-cpp.ts';
import { openSubject } from './subject.ts';
import { conformance } from './suite.ts';
import { wholeCharacters } from './chains.ts';

const home = mkdtempSync(join(tmpdir(), 'fulgurite-'));
after(() => { rmSync(home, { recursive: true }); });

conformance('llama.cpp (stand-in)', async () => {
  const model = writeChainModel(join(home, 'chain'), wholeCharacters);
  const server = await startLlamaCppStandIn({ model, cacheDir: join(home, 'cache'), maxContext: 2048, wholeCharacters: true });
  return openSubject({ backend: { kind: 'llamacpp', baseUrl: server.url, model, toolFormat: 'none' }, running: server.running, server });
}, { forms: 'nobody' });
