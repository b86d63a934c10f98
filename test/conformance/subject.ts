/** What the suite runs against: a whole proxy in front of one policy backend, with a client, and a second connection to its store. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { configSchema } from '../../config/schema.ts';
import type { Capabilities, PolicyBackend } from '../../proxy/backends/backend.ts';
import { createLog } from '../../proxy/log.ts';
import { startProxy } from '../../proxy/main.ts';
import { openDatabase } from '../../store/open.ts';
import { getStep, listSteps, type Step } from '../../store/steps.ts';

export interface Subject extends AsyncDisposable {
  readonly url: string;
  readonly client: OpenAI;
  readonly model: string;
  readonly backend: PolicyBackend;
  readonly capabilities: Capabilities;
  /** Steps that ended since the last call, oldest first. */
  newSteps(): Promise<Step[]>;
  /** Calls that still cost something behind the proxy. */
  running(): Promise<number>;
}

export interface SubjectOptions {
  /** As in a configuration. */
  readonly backend: object;
  readonly running: () => Promise<number>;
  /** What ends with the subject. */
  readonly server?: AsyncDisposable;
}

export async function openSubject({ backend, running, server }: SubjectOptions): Promise<Subject> {
  const home = mkdtempSync(join(tmpdir(), 'fulgurite-conformance-'));
  const config = configSchema.parse({ dataDir: join(home, 'data'), server: { port: 0 }, trainer: { enabled: false }, backend });
  const proxy = await startProxy(config, { env: {}, log: createLog('silent') });
  const db = openDatabase(config.dataDir, { readonly: true });
  const [model] = await proxy.backend.models();
  const seen = new Set<string>();
  return {
    url: proxy.url,
    client: new OpenAI({ baseURL: `${proxy.url}/v1`, apiKey: 'none', maxRetries: 0, timeout: 120_000 }),
    model: model?.id ?? '',
    backend: proxy.backend,
    capabilities: proxy.backend.capabilities(),
    async newSteps() {
      await proxy.settled();
      const fresh = listSteps(db, { order: 'oldest', limit: 10_000 }).items.filter(({ id, state }) => state !== 'open' && !seen.has(id));
      for (const { id } of fresh) seen.add(id);
      return fresh.flatMap(({ id }) => getStep(db, id) ?? []);
    },
    running,
    async [Symbol.asyncDispose]() {
      db.close();
      await proxy.close();
      await server?.[Symbol.asyncDispose]();
      rmSync(home, { recursive: true });
    },
  };
}
