/** The demo starts from nothing each time, and deletes only what an earlier demo made. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../failure.ts';

/** Holds the process id of the demo that made the directory. */
const markerName = '.fulgurite-demo';

/** Empties the directory of an earlier demo, or makes it. @throws UsageError when it holds anything else, or its demo still runs. */
export function freshDirectory(directory: string): void {
  const marker = join(directory, markerName);
  if (existsSync(marker)) {
    const owner = Number(readFileSync(marker, 'utf8'));
    if (owner !== process.pid && isAlive(owner)) throw new UsageError(`Another demo (process ${owner}) is running on ${directory}: end it, or give --data another directory.`);
    rmSync(directory, { recursive: true });
  } else if (existsSync(directory) && readdirSync(directory).length > 0) {
    throw new UsageError(`${directory} was not made by the demo and is not empty: give --data another directory.`);
  }
  mkdirSync(directory, { recursive: true });
  writeFileSync(marker, String(process.pid));
}

function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'; // alive, and another user's
  }
}
