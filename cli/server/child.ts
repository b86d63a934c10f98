/** Starts a server as a process of its own, for the length of a command. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Config } from '../../config/schema.ts';
import { ownConnection } from '../client/connection.ts';
import type { Connection } from '../client/http.ts';
import { RunError, UsageError } from '../failure.ts';
import { cliModule } from '../package.ts';
import type { FromServer, ServerFacts, ToServer } from './messages.ts';

export interface ServerProcess {
  readonly connection: Connection;
  readonly facts: ServerFacts;
  /** Ends it as Ctrl-C would: calls in flight are finished, the store is closed. */
  stop(): Promise<void>;
}

const stopTimeoutMs = 15_000;

/**
 * Its own session, so that Ctrl-C in the terminal reaches the command first, which ends its rollouts and then the server. When the
 * command dies, the channel closes and the server ends by itself.
 * @param log is given each line that the server, or its trainer, writes
 */
export async function startServerProcess(config: Config, signal: AbortSignal, log: (line: string) => void): Promise<ServerProcess> {
  signal.throwIfAborted();
  const connect = (url: string) => ownConnection(config, url);
  connect(''); // a missing admin key is better said before the model is loaded
  const child = fork(cliModule('server/process'), { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], detached: true, serialization: 'advanced' });
  for (const output of [child.stdout, child.stderr]) if (output) createInterface({ input: output }).on('line', log);
  const exited = once(child, 'exit');
  const send = (message: ToServer) => { child.send(message); };
  const answer = new Promise<FromServer>((resolve) => {
    child.once('message', (message) => resolve(message as FromServer)); // server/process.ts sends nothing else
    child.once('exit', (code) => resolve({ type: 'failed', message: `The server ended before it was ready (exit code ${code}).`, exitCode: 1 }));
  });
  // Only while it starts: later the command decides when its server ends.
  const onAbort = () => child.kill('SIGTERM');
  signal.addEventListener('abort', onAbort, { once: true });
  send({ type: 'start', config });
  const reply = await answer;
  signal.removeEventListener('abort', onAbort);
  if (reply.type === 'failed') {
    signal.throwIfAborted();
    throw reply.exitCode === 2 ? new UsageError(reply.message) : new RunError(reply.message);
  }
  return {
    connection: connect(reply.facts.url),
    facts: reply.facts,
    async stop() {
      if (child.connected) send({ type: 'stop' });
      const timer = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs);
      await exited;
      clearTimeout(timer);
    },
  };
}
