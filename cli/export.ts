/** `fulgurite export`: recorded steps as JSON Lines, from a data directory or a running server. */
import { createWriteStream } from 'node:fs';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import { exportSteps } from '../store/export.ts';
import { type Database, openDatabase } from '../store/open.ts';
import { rolloutModes } from '../store/schema.ts';
import { addConnectionOptions, connectionOf, type ConnectionOptions } from './client/connection.ts';
import { request } from './client/http.ts';
import { naturalNumber, newCommand, oneOf } from './command.ts';
import { RunError, UsageError } from './failure.ts';

interface ExportOptions extends ConnectionOptions {
  readonly data?: string;
  readonly output?: string;
  readonly round?: number;
  readonly policyVersion?: number;
  readonly rollout?: string;
  readonly mode?: (typeof rolloutModes)[number];
  readonly since?: number;
}

export function exportCommand(): Command {
  const command = newCommand('export', 'Write recorded steps as JSON Lines: ids, log-probs, versions, rewards.', 'export --data ./data --round 3 --output steps.jsonl')
    .option('-d, --data <directory>', 'read this data directory (a server may be running on it) instead of asking a server')
    .option('-o, --output <file>', 'file to write (default: stdout)')
    .option('--round <id>', 'only the steps that this training round used', naturalNumber)
    .option('--policy-version <version>', 'only the steps that this policy version was made from', naturalNumber)
    .option('--rollout <id>', 'only the steps of this rollout')
    .option('--mode <mode>', 'only rollouts of this mode', oneOf(rolloutModes))
    .option('--since <date>', 'only steps from this time on (ISO 8601)', timeOf);
  return addConnectionOptions(command).action((options: ExportOptions) => exportAll(options));
}

async function exportAll(options: ExportOptions): Promise<void> {
  if (options.data !== undefined && options.url !== undefined) throw new UsageError('Give either --data or --url, not both.');
  if (options.data === undefined) {
    const response = await request(connectionOf(options), `/admin/export?${query(options)}`, { accept: 'application/x-ndjson' });
    if (response.body) await write(response.body, options.output);
    return;
  }
  using db = openDatabase(options.data, { readonly: true });
  await write(lines(db, options), options.output);
}

function* lines(db: Database, { round, policyVersion, rollout, mode, since }: ExportOptions): Generator<string> {
  for (const step of exportSteps(db, { roundId: round, policyVersion, rolloutId: rollout, mode, since })) yield `${JSON.stringify(step)}\n`;
}

function query({ round, policyVersion, rollout, mode, since }: ExportOptions): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries({ round, version: policyVersion, rollout, mode, since })) {
    if (value !== undefined) parameters.set(name, String(value));
  }
  return parameters.toString();
}

async function write(source: Iterable<string> | AsyncIterable<Uint8Array>, file: string | undefined): Promise<void> {
  const target: Writable = file === undefined ? process.stdout : createWriteStream(file);
  try {
    await pipeline(Readable.from(source), target, { end: file !== undefined });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'EPIPE') return; // the reader (head, say) has had enough
    if (file !== undefined && (code === 'ENOENT' || code === 'EACCES' || code === 'EISDIR')) throw new UsageError(`Cannot write ${file}: ${code}.`, { cause: error });
    if (code === 'UND_ERR_SOCKET') throw new RunError('The server ended the export before it was complete.', { cause: error });
    throw error;
  }
}

function timeOf(text: string): number {
  const time = Date.parse(text);
  if (Number.isNaN(time)) throw new UsageError(`--since must be a date such as 2026-01-31T12:00:00Z, not "${text}".`);
  return time;
}
