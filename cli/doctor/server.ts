/** A policy backend as it answers: what it can do, and whether its log-probs are those that training computes. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../../config/schema.ts';
import { openModel } from '../../model/open.ts';
import { probeAbilities } from '../../proxy/backends/abilities.ts';
import type { PolicyBackend } from '../../proxy/backends/backend.ts';
import { createBackend } from '../../proxy/backends/index.ts';
import { createLog } from '../../proxy/log.ts';
import { RunError } from '../failure.ts';
import { backendSampler, measureAgreement, type Sampling } from './agreement.ts';
import { type Check, check } from './check.ts';

/** The base model of another server; adapters are the proxy's to load. */
const base = { version: 0, kind: 'base', directory: null } as const;

export async function* examineServer(config: Config, sampling: Sampling): AsyncGenerator<Check> {
  const { backend: settings } = config;
  const model = settings.kind === 'openai' || settings.kind === 'embedded' ? undefined : settings.model;
  yield* examineBackend('upstream', () => createBackend(settings, { cacheDir: '', adapterTargets: [] }, createLog('silent')), async function* (backend) {
    if (model !== undefined) yield await check('agreement', () => agreement(backend, model, config, sampling));
  });
}

/** Starts a backend, says what it can do, and closes it. What it cannot do is no defect. */
export async function* examineBackend(name: string, start: () => Promise<PolicyBackend>, more?: (backend: PolicyBackend) => AsyncIterable<Check>): AsyncGenerator<Check> {
  const started: PolicyBackend[] = [];
  yield await check(name, async () => {
    const backend = await start();
    started.push(backend);
    const health = await backend.health();
    if (!health.ok) throw new RunError(health.detail);
    return health.detail;
  });
  for (const backend of started) {
    try {
      for await (const { name: ability, short, detail } of probeAbilities(backend)) yield { name: ability, ok: true, detail: short === 'no' ? `no: ${detail}` : detail };
      if (more !== undefined) yield* more(backend);
    } finally {
      await backend.close();
    }
  }
}

async function agreement(backend: PolicyBackend, path: string, { trainer }: Config, { samples, tokens }: Sampling): Promise<string> {
  const model = await openModel(path);
  const cacheDir = mkdtempSync(join(tmpdir(), 'fulgurite-doctor-'));
  try {
    const [served] = await backend.models();
    const sample = backendSampler(backend, served?.id ?? '', tokens);
    const found = await measureAgreement({ sample, model, version: base, trainer, cacheDir, samples });
    const said = `server and trainer differ by at most ${found.maxAbsolute.toExponential(2)} (mean ${found.meanAbsolute.toExponential(2)}) in the log-probs of ${found.tokens} tokens${found.leftOut.length === 0 ? '' : `; ${found.leftOut.length} of ${samples} calls were recorded as ${found.leftOut[0]}`}`;
    if (!(found.meanAbsolute <= trainer.maxLogprobMismatch)) throw new RunError(`${said}; rounds are refused past a mean of ${trainer.maxLogprobMismatch} (trainer.maxLogprobMismatch): are the weights the same, and as precise?`);
    return said;
  } finally {
    model.weights.close();
    rmSync(cacheDir, { recursive: true });
  }
}
