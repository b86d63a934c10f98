/**
 * Publishing a policy: write into a temporary directory, fsync every file, rename. A reader sees the whole policy or nothing,
 * whenever this process is killed. What a kill leaves behind is swept at the next start.
 */
import { createHash, randomUUID } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { TrainerError } from './error.ts';

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
  const files = hashFiles(temporary);
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
  for (const name of leftovers) removePolicy(join(policies, name));
  return leftovers;
}

/** SHA-256 of every file of a directory, by name. */
export function hashFiles(directory: string): Record<string, string> {
  return Object.fromEntries(readdirSync(directory).sort().map((name) => [name, sha256(join(directory, name))]));
}

/**
 * The manifest of a published policy, every file of it checked.
 * @throws TrainerError `corrupt_policy` naming the file that is gone or not what was published
 */
export function verifyPolicy(directory: string): PolicyManifest {
  const manifest = readManifest(directory);
  for (const [name, published] of Object.entries(manifest.files)) {
    const path = join(directory, name);
    const why = !existsSync(path) ? 'is gone' : sha256(path) !== published ? 'is not what was published (its SHA-256 differs)' : null;
    if (why !== null) throw new TrainerError('corrupt_policy', `${path} ${why}: put it back from a copy, or make another version current with "fulgurite policies promote".`);
  }
  return manifest;
}

/** Takes a policy's name away first: whenever this process is killed, what bears a version's number is whole. */
export function removePolicy(directory: string): void {
  const temporary = join(dirname(directory), `${temporaryPrefix}removed-${randomUUID()}`);
  renameSync(directory, temporary);
  rmSync(temporary, { recursive: true, force: true });
}

function readManifest(directory: string): PolicyManifest {
  const path = join(directory, 'policy.json');
  try {
    return manifestSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (error) {
    throw new TrainerError('corrupt_policy', `${path} is gone or not a policy's manifest: put it back from a copy, or make another version current with "fulgurite policies promote".`, { cause: error });
  }
}

const manifestSchema = z.object({
  version: z.int(), kind: z.enum(['adapter', 'full']), parentVersion: z.int(), roundId: z.int(), model: z.string(), createdAt: z.number(), files: z.record(z.string(), z.string()),
});

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
