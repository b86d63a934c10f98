/** Entry of the forked trainer: the configuration comes as the first message, and the parent's end is this process's end. */
import type { Config } from '../config/schema.ts';
import { runTrainer } from './main.ts';

const stop = new AbortController();
process.once('disconnect', () => {
  stop.abort();
  // A computation that does not come back must not outlive the parent.
  setTimeout(() => { process.exit(1); }, 10_000).unref();
});
process.once('SIGTERM', () => { stop.abort(); });
// The terminal sends Ctrl-C to the whole group; the parent decides what happens then.
process.on('SIGINT', () => {});
process.once('message', (config: Config) => { // written by `startTrainerProcess`, which has parsed it
  runTrainer(config, stop.signal, () => process.send?.('ready')).then(() => { process.exit(0); }, (error: unknown) => {
    console.error(error instanceof Error ? `trainer: ${error.message}` : error);
    process.exit(1);
  });
});
