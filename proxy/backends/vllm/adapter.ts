/** A policy version as vLLM knows it. */
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';

export interface Adapter {
  readonly version: number;
  /**
   * Never used for other weights: vLLM's prefix cache goes by name and path, and an adapter that is replaced under its name changes the policy in
   * the middle of answers. The weights' hash is in it, so that what another data directory left on a server is not taken for ours.
   */
  readonly name: string;
  /** Absolute, and the same for the servers. */
  readonly directory: string;
}

/** @param directory a published policy's, with its manifest */
export async function adapterOf(version: number, directory: string): Promise<Adapter> {
  const { files } = JSON.parse(await readFile(join(directory, 'policy.json'), 'utf8')) as { files: Readonly<Record<string, string>> }; // written by our own trainer
  return { version, name: `fulgurite-${version}-${(files['adapter_model.safetensors'] ?? '').slice(0, 12)}`, directory: resolve(directory) };
}
