/** Starts the parts of the vLLM backend. */
import type { VllmBackendConfig } from '../../../config/schema.ts';
import { openWeights } from '../../../model/open.ts';
import type { Log } from '../../log.ts';
import { PolicyLeases } from '../leases.ts';
import type { Adapter } from './adapter.ts';
import { VllmBackend } from './backend.ts';
import { Replica } from './replica.ts';
import { Replicas } from './replicas.ts';

/**
 * Servers that are not up yet join when they are.
 * @throws ModelError where `model` cannot be opened
 */
export async function startVllm(config: VllmBackendConfig, log: Log): Promise<VllmBackend> {
  const { baseUrls, apiKey = null, timeoutMs, healthMs, name = null, model, sleepWhileTraining: sleeps } = config;
  const policies = new PolicyLeases<Adapter | null>();
  // The base model is always there.
  policies.add(0, null);
  const needed = () => [...policies.versions.values()].filter((adapter) => adapter !== null);
  const replicas = new Replicas(baseUrls.map((baseUrl) => new Replica({ baseUrl, apiKey, timeoutMs, log, sleeps, needed })), healthMs);
  const fingerprint = model === undefined ? undefined : await fingerprintOf(model);
  await replicas.start();
  return new VllmBackend({ replicas, policies, name, fingerprint });
}

async function fingerprintOf(model: string): Promise<string> {
  const { weights, fingerprint } = await openWeights(model);
  weights.close();
  return fingerprint;
}
