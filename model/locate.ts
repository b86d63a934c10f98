/** Where a model lies: a Hugging Face directory, a GGUF file, or the id of one in the local Hub cache. Nothing is ever downloaded. */
import { readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { ModelError } from './error.ts';

export interface Location {
  readonly kind: 'directory' | 'gguf';
  readonly path: string;
  /** The id, or the base name without `.gguf`. */
  readonly name: string;
}

/** @throws ModelError `not_found`, with what to do */
export function locateModel(pathOrId: string, environment: NodeJS.ProcessEnv = process.env): Location {
  const stats = statSync(pathOrId, { throwIfNoEntry: false });
  const path = resolve(pathOrId);
  if (stats?.isDirectory()) return { kind: 'directory', path, name: basename(path) };
  if (stats && path.endsWith('.gguf')) return { kind: 'gguf', path, name: basename(path, '.gguf') };
  if (stats) throw new ModelError('not_found', `${pathOrId} is neither a Hugging Face model directory nor a .gguf file.`);
  if (!/^[\w.-]+\/[\w.-]+$/.test(pathOrId) || pathOrId.endsWith('.gguf')) {
    throw new ModelError('not_found', `There is no model at ${pathOrId}; give a Hugging Face model directory, a .gguf file, or the id of a model in the Hugging Face cache.`);
  }
  const repository = join(hubCache(environment), `models--${pathOrId.replace('/', '--')}`);
  const snapshot = join(repository, 'snapshots', mainRevision(repository) ?? 'main');
  if (!statSync(snapshot, { throwIfNoEntry: false })?.isDirectory()) {
    throw new ModelError('not_found', `There is no directory ${pathOrId}, and no model of that id in ${hubCache(environment)}; download it first (hf download ${pathOrId}) or give a path.`);
  }
  return { kind: 'directory', path: snapshot, name: pathOrId };
}

/** huggingface_hub's order: HF_HUB_CACHE, HF_HOME/hub, ~/.cache/huggingface/hub. */
function hubCache(environment: NodeJS.ProcessEnv): string {
  return environment['HF_HUB_CACHE'] ?? join(environment['HF_HOME'] ?? join(homedir(), '.cache', 'huggingface'), 'hub');
}

function mainRevision(repository: string): string | null {
  const path = join(repository, 'refs', 'main');
  return statSync(path, { throwIfNoEntry: false }) ? readFileSync(path, 'utf8').trim() : null;
}
