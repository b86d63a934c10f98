/** `fulgurite serve`: proxy, engine and trainer in one command. */
import { once } from 'node:events';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Config } from '../config/schema.ts';
import { trainedModel } from '../config/trained-model.ts';
import { newCommand } from './command.ts';
import { addServerOptions, type ConfigOptions, configurationOf } from './configuration.ts';
import { onInterrupt } from './interrupt.ts';
import { packageVersion } from './package.ts';
import type { RunningServer } from './server/start.ts';

export function serveCommand(): Command {
  const command = newCommand('serve', 'Serve a model to agents, record their calls, and train it on request.', 'serve --model ./model --port 8700 --data ./data')
    .option('--no-trainer', 'do not start the trainer process');
  return addServerOptions(command).action((options: ConfigOptions) => serve(options));
}

async function serve(options: ConfigOptions): Promise<void> {
  const config = configurationOf(options);
  // The server's parts are loaded for a configuration that is right, not to say that it is wrong.
  const { startServer } = await import('./server/start.ts');
  using interruption = onInterrupt();
  const { signal } = interruption;
  const server = await startServer(config);
  process.stdout.write(banner(config, server));
  if (!signal.aborted) await once(signal, 'abort');
  await server.close();
}

/** Addresses, model, data and what to do next, once. */
export function banner(config: Config, { facts, trainerPid }: RunningServer): string {
  const trainer = trainerPid === null ? whyOff(config) : `${config.trainer.method}, ${config.trainer.algorithm.name}; POST ${facts.url}/admin/rounds starts a round`;
  return [
    `Fulgurite ${packageVersion()}`,
    `  agents   OPENAI_BASE_URL=${facts.url}/v1`,
    `  model    ${facts.model}, policy version ${facts.version}`,
    `  data     ${resolve(config.dataDir)}`,
    `  trainer  ${trainer}`,
    `  metrics  ${facts.url}/metrics`,
    '',
  ].join('\n');
}

function whyOff(config: Config): string {
  if (!config.trainer.enabled || trainedModel(config) !== null) return 'off';
  return config.backend.kind === 'openai' ? 'off: backend.kind "openai" is recorded, not trained (see docs/backends.md for those that are)' : 'off: backend.model does not say where the weights are';
}
