/**
 * The suite against real servers: `npm run test:backends`. Those that are not here are left out, and said so. What each can do is printed at the end.
 *
 *     FULGURITE_LLAMA_SERVER   llama.cpp's llama-server
 *     FULGURITE_VLLM_PYTHON    a Python with vLLM (bench/requirements.txt)
 *     FULGURITE_PYTHON         a Python with openai, for the tests of that client
 *     FULGURITE_SMOLLM2        SmolLM2's GGUF file, else the one of `npm run smollm2`
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';
import { startLlamaCpp } from '../../bench/engine/llama-cpp.ts';
import { startVllmServer } from '../../bench/vllm-server.ts';
import { textTable } from '../../cli/terminal/table.ts';
import type { Ability } from '../../proxy/backends/abilities.ts';
import { smollm2Path } from '../fixtures/smollm2/find.ts';
import { openSubject, type Subject } from './subject.ts';
import { conformance } from './suite.ts';

const context = 2048;
const cache = join(import.meta.dirname, '../../.cache/bench');
/** SmolLM2's own shows no tools to the model. */
const chatTemplate = join(import.meta.dirname, '../fixtures/golden/chat/templates/qwen2_5.jinja');
const { FULGURITE_LLAMA_SERVER: llamaServer, FULGURITE_VLLM_PYTHON: python } = process.env;
const only = process.argv.slice(2);

const model = smollm2Path ?? '';
mkdirSync(cache, { recursive: true });

const numberAt = async (url: string, pattern: RegExp): Promise<number> => Number(pattern.exec(await (await fetch(url)).text())?.[1] ?? NaN);

const servers: Readonly<Record<string, { readonly missing: string | false; readonly forms?: 'server'; readonly open: () => Promise<Subject> }>> = {
  embedded: {
    missing: smollm2Path === null && 'npm run smollm2',
    open: async () => {
      const subject: Subject = await openSubject({
        backend: { kind: 'embedded', model, name: 'smollm2', chatTemplate, maxContext: context },
        running: () => numberAt(`${subject.url}/metrics`, /fulgurite_engine\{stat="rows_running"\} (\d+)/),
      });
      return subject;
    },
  },
  'llama.cpp': {
    missing: (llamaServer === undefined && 'FULGURITE_LLAMA_SERVER') || (smollm2Path === null && 'npm run smollm2'),
    open: async () => {
      const server = await startLlamaCpp(llamaServer ?? '', model, { threads: 1, slots: 8, context });
      const running = async () => {
        const slots = await (await fetch(`${server.url}/slots`)).json() as readonly { is_processing: boolean }[]; // tools/server/README.md, "GET /slots"
        return slots.filter(({ is_processing: isBusy }) => isBusy).length;
      };
      return openSubject({ backend: { kind: 'llamacpp', baseUrl: server.url, model, name: 'smollm2', chatTemplate }, running, server });
    },
  },
  vLLM: {
    forms: 'server',
    missing: (python === undefined && 'FULGURITE_VLLM_PYTHON') || (smollm2Path === null && 'npm run smollm2'),
    open: async () => {
      const server = await startVllmServer({ python: python ?? '', gguf: model, cache, more: ['--chat-template', chatTemplate, '--structured-outputs-config', '{"backend":"xgrammar","disable_any_whitespace":true}'] });
      return openSubject({ backend: { kind: 'vllm', baseUrls: [server.url] }, running: () => numberAt(`${server.url}/metrics`, /^vllm:num_requests_running\{[^}]*\} (\d+)/m), server });
    },
  },
};

const columns = new Map<string, readonly Ability[]>();
for (const [name, { missing, open, forms = 'us' }] of Object.entries(servers)) {
  if (only.length > 0 && !only.includes(name)) continue;
  if (missing === false) conformance(name, open, { forms, onAbilities: (abilities) => { columns.set(name, abilities); } });
  else process.stderr.write(`${name} is left out: it needs ${missing}\n`);
}

after(() => {
  const names = [...columns.keys()];
  const rows = (columns.get(names[0] ?? '') ?? []).map(({ name }) => [name, ...names.map((server) => cellOf(columns.get(server)?.find((ability) => ability.name === name)))]);
  process.stdout.write(`\n${textTable(['', ...names], rows)}\n`);
});

const cellOf = (ability: Ability | undefined): string => ability?.short ?? '–';
