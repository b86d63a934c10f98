/** What the doctor looks at, in order. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Config, EmbeddedBackendConfig } from '../../config/schema.ts';
import { startEngine } from '../../engine/client.ts';
import { describeNeeds, memoryNeeds, requireMemory } from '../../engine/memory.ts';
import type { Model } from '../../model/model.ts';
import { openModel } from '../../model/open.ts';
import { startEmbedded } from '../../proxy/backends/embedded/start.ts';
import { createLog } from '../../proxy/log.ts';
import { databaseFileName, openDatabase } from '../../store/open.ts';
import { currentVersion, requireBaseModel } from '../../store/policies.ts';
import { policyVersion, type PolicyVersion } from '../../trainer/policy.ts';
import { RunError } from '../failure.ts';
import { engineSampler, measureAgreement, type Sampling } from './agreement.ts';
import { type Check, check } from './check.ts';
import { describeDevices } from './devices.ts';
import { examineBackend, examineServer } from './server.ts';
import { describeModel, describeTemplate, roundTrip } from './text.ts';
import { versions } from './versions.ts';

/** Largest |Δ log-prob| between engine and trainer that float32 arithmetic explains. */
const agreementLimit = 1e-3;

/** Checks as they end; a model that cannot be opened is thrown. */
export async function* examine(config: Config, sampling: Sampling): AsyncGenerator<Check> {
  yield await check('versions', versions);
  if (config.backend.kind !== 'embedded') {
    yield* examineServer(config, sampling);
    return;
  }
  yield* examineEmbedded(config, config.backend, sampling);
}

async function* examineEmbedded(config: Config, backend: EmbeddedBackendConfig, sampling: Sampling): AsyncGenerator<Check> {
  const model = await openModel(backend.model, { name: backend.name, chatTemplatePath: backend.chatTemplate });
  try {
    yield await check('model', () => describeModel(model));
    yield await check('tokenizer', () => roundTrip(model.tokenizer));
    yield await check('template', () => describeTemplate(model));
    let version: PolicyVersion = { version: 0, kind: 'base', directory: null };
    yield await check('data', () => {
      version = servedVersion(config.dataDir, model.fingerprint);
      return `${resolve(config.dataDir)}, version ${version.version} (${version.kind}) is current`;
    });
    yield await check('memory', () => {
      const needs = memoryNeeds(model.config, backend);
      requireMemory(needs, process.availableMemory());
      return describeNeeds(needs);
    });
    yield await check('devices', () => describeDevices(config.trainer.device));
    yield* examineBackend('serving', () => startEmbedded(backend, { cacheDir: join(resolve(config.dataDir), 'cache'), adapterTargets: [] }, createLog('silent')));
    yield await check('agreement', async () => {
      const { tokens, maxAbsolute, meanAbsolute } = await agreement(config, backend, model, version, sampling);
      const found = `engine and trainer differ by at most ${maxAbsolute.toExponential(2)} (mean ${meanAbsolute.toExponential(2)}) in the log-probs of ${tokens} tokens of version ${version.version}`;
      // What 8 bits leave out is no defect: it is said, and corrected for in training.
      if (backend.weights === 'int8') return `${found}, since the engine's weights have 8 bits`;
      if (!(maxAbsolute <= agreementLimit)) throw new RunError(`${found}; the limit is ${agreementLimit}`);
      return found;
    });
  } finally {
    model.weights.close();
  }
}

async function agreement(config: Config, backend: EmbeddedBackendConfig, model: Model, version: PolicyVersion, { samples, tokens }: Sampling) {
  const cacheDir = join(resolve(config.dataDir), 'cache');
  const { maxContext, maxRows, maxQueue, maxQueueMs, maxStallMs, threads, weights, swap } = backend;
  const engine = await startEngine({ model: backend.model, cacheDir, maxContext, maxRows, maxQueue, maxQueueMs, maxStallMs, threads, weights, swap, prefixCacheBytes: 0, adapterTargets: config.trainer.lora.targets });
  try {
    if (version.kind !== 'base' && version.directory !== null) await engine.loadPolicy({ version: version.version, kind: version.kind, directory: version.directory });
    return await measureAgreement({ sample: engineSampler(engine, model, version.version, tokens), model, version, trainer: config.trainer, cacheDir, samples });
  } finally {
    await engine.close();
  }
}

/** The version that a server on this data directory would serve; the base model where there is none yet. */
function servedVersion(dataDir: string, fingerprint: string): PolicyVersion {
  if (!existsSync(join(dataDir, databaseFileName))) return { version: 0, kind: 'base', directory: null };
  using db = openDatabase(dataDir, { readonly: true });
  requireBaseModel(db, fingerprint);
  return policyVersion(db, currentVersion(db));
}
