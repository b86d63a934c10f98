/** Entry of the server process that `startServerProcess` forks: the configuration comes as a message, and the parent's end is its end. */
import { describeFailure } from '../failure.ts';
import type { FromServer, ToServer } from './messages.ts';
import { type RunningServer, startServer } from './start.ts';

let server: RunningServer | null = null;
let isStopping = false;

const say = (message: FromServer) => { process.send?.(message); };

async function start(config: Extract<ToServer, { type: 'start' }>['config']): Promise<void> {
  try {
    server = await startServer(config);
    say({ type: 'listening', facts: server.facts });
  } catch (error) {
    const { exitCode, message } = describeFailure(error);
    say({ type: 'failed', message: message ?? 'The server could not be started.', exitCode });
    process.exitCode = exitCode;
    process.disconnect();
  }
}

async function stop(): Promise<void> {
  if (isStopping) return;
  isStopping = true;
  await server?.close();
  process.exit();
}

// A parent that died reads no log; that must not keep this process from ending in order.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});
process.on('message', (message: ToServer) => { // server/child.ts sends nothing else
  void (message.type === 'start' ? start(message.config) : stop());
});
process.on('disconnect', () => void stop());
process.on('SIGTERM', () => void stop());
