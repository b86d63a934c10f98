/** Which server a client command talks to: a running one by its URL, or one that it starts itself. */
import type { Command } from 'commander';
import { addServerOptions, type ConfigOptions, configurationOf } from '../configuration.ts';
import { UsageError } from '../failure.ts';
import { startServerProcess } from '../server/child.ts';
import { addConnectionOptions, connectionOf, type ConnectionOptions } from './connection.ts';
import type { Connection } from './http.ts';

export type TargetOptions = ConnectionOptions & ConfigOptions;

/** For commands that may also start their own server. */
export function addTargetOptions(command: Command): Command {
  return addServerOptions(addConnectionOptions(command));
}

/** A server to talk to; disposing it stops the one that was started for it. */
export interface Target extends AsyncDisposable {
  readonly connection: Connection;
}

/** With --config, --model or --upstream and no --url, a server is started for the length of the command, on a free port unless told. */
export async function openTarget(options: TargetOptions, signal: AbortSignal, log: (line: string) => void): Promise<Target> {
  const startsOwn = options.config !== undefined || options.model !== undefined || options.upstream !== undefined;
  if (!startsOwn) return { connection: connectionOf(options), [Symbol.asyncDispose]: () => Promise.resolve() };
  if (options.url !== undefined) throw new UsageError('Give either --url of a running server, or --config, --model or --upstream to start one, not both.');
  const server = await startServerProcess(configurationOf(options, { port: 0 }), signal, log);
  return { connection: server.connection, [Symbol.asyncDispose]: () => server.stop() };
}
