/** Proxy and trainer together: what `serve` runs, and what the commands that bring their own server start in a process. */
import type { Config } from '../../config/schema.ts';
import { trainedModel } from '../../config/trained-model.ts';
import { refuseOpenBind } from '../../proxy/auth.ts';
import { startProxy } from '../../proxy/main.ts';
import { startTrainerProcess } from '../../trainer/process.ts';
import { RunError, UsageError } from '../failure.ts';
import type { ServerFacts } from './messages.ts';

export interface RunningServer {
  readonly facts: ServerFacts;
  /** Null when this server does not train. */
  readonly trainerPid: number | null;
  /** Finishes the calls that are open, then ends the trainer. */
  close(): Promise<void>;
}

/** @throws UsageError, ConfigError, ModelError, StoreError, RunError with a sentence for the person who started it. */
export async function startServer(config: Config): Promise<RunningServer> {
  requireSafeBind(config);
  const proxy = await startProxy(config).catch((error: unknown) => { throw listenError(error, config); });
  const [model] = await proxy.backend.models();
  const trains = config.trainer.enabled && trainedModel(config) !== null;
  const trainer = trains ? startTrainerProcess({ config, onExit: reportTrainerExit }) : null;
  return {
    facts: { url: proxy.url, model: model?.id ?? 'none', version: proxy.backend.currentVersion() },
    trainerPid: trainer?.pid ?? null,
    async close() {
      await Promise.all([trainer?.stop(), proxy.close()]);
    },
  };
}

function requireSafeBind(config: Config): void {
  try {
    refuseOpenBind(config.server.host, config.server.keys);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function listenError(error: unknown, { server }: Config): unknown {
  if (!(error instanceof Error && 'syscall' in error && error.syscall === 'listen' && 'code' in error)) return error;
  if (error.code === 'EADDRINUSE') return new RunError(`Port ${server.port} on ${server.host} is taken: choose another with --port, or 0 for a free one.`, { cause: error });
  return new RunError(`Cannot listen on ${server.host}:${server.port}: ${error.message}.`, { cause: error });
}

function reportTrainerExit(exit: { code: number | null; signal: NodeJS.Signals | null; restartInMs: number | null }): void {
  if (exit.restartInMs === null) return;
  const how = exit.signal === null ? `exit code ${exit.code}` : exit.signal;
  process.stderr.write(`The trainer ended (${how}); serving goes on, and it is started again in ${exit.restartInMs / 1000} s.\n`);
}
