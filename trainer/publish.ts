/**
 * Publishing a policy: write into a temporary directory, fsync every file, rename. A reader sees the whole policy or nothing,
 * whenever this process is killed. What a kill leaves behind is swept at the next start.
 */
import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** `policy.json`. */
export interface PolicyManifest {
  readonly version: number;
  readonly kind: 'adapter' | 'full';
  readonly parentVersion: number;
  readonly roundId: number;
  /** Fingerprint of the base model. */
  readonly model: string;
  /** Unix milliseconds. */
  readonly createdAt: number;
  /** SHA-256 of every other file, by name. */
  readonly files: Readonly<Record<string, string>>;
}

/** The file that is the policy, by kind; its SHA-256 is the policy's. */
export const weightsFile = { adapter: 'adapter_model.safetensors', full: 'model.safetensors' } as const;

export interface PublishedPolicy {
  /** Relative to the data directory: `policies/3`. */
  readonly directory: string;
  readonly sha256: string;
}

const temporaryPrefix = '.tmp-';

/**
 * @param write puts the policy's files into the (empty) directory it is given
 * @throws if the version's directory exists, or `write` wrote no weights
 */
export function publishPolicy(dataDir: string, policy: Omit<PolicyManifest, 'files'>, write: (directory: string) => void): PublishedPolicy {
  const policies = join(dataDir, 'policies');
  const temporary = join(policies, `${temporaryPrefix}${policy.version}-${process.pid}`);
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { recursive: true });
  write(temporary);
  const files = Object.fromEntries(readdirSync(temporary).sort().map((name) => [name, sha256(join(temporary, name))]));
  const weights = files[weightsFile[policy.kind]];
  if (weights === undefined) throw new Error(`policy ${policy.version} was written without ${weightsFile[policy.kind]}`);
  const manifest: PolicyManifest = { ...policy, files };
  writeFileSync(join(temporary, 'policy.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  for (const name of readdirSync(temporary)) sync(join(temporary, name));
  sync(temporary);
  const directory = join('policies', String(policy.version));
  // Onto an existing directory with files this fails: a published policy never changes.
  renameSync(temporary, join(dataDir, directory));
  sync(policies);
  return { directory, sha256: weights };
}

/** Removes what killed publications left: temporary directories, and whole ones whose version was never recorded. Returns their names. */
export function sweepPolicies(dataDir: string, recordedVersions: ReadonlySet<number>): string[] {
  const policies = join(dataDir, 'policies');
  mkdirSync(policies, { recursive: true });
  const leftovers = readdirSync(policies).filter((name) => name.startsWith(temporaryPrefix) || (/^\d+$/.test(name) && !recordedVersions.has(Number(name))));
  for (const name of leftovers) rmSync(join(policies, name), { recursive: true, force: true });
  return leftovers;
}

function sha256(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

function sync(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
