/** The options that make a configuration, shared by the commands that need one. */
import type { Command } from 'commander';
import { ConfigError } from '../config/errors.ts';
import { type ConfigTree, defaultConfigFile, isTree, loadConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { trainedModel } from '../config/trained-model.ts';
import { locateModel } from '../model/locate.ts';
import { collect, naturalNumber } from './command.ts';
import { UsageError } from './failure.ts';

export interface ConfigOptions {
  readonly config?: string;
  readonly set?: readonly string[];
  readonly model?: string;
  readonly upstream?: string;
  readonly data?: string;
  readonly host?: string;
  readonly port?: number;
  /** False for `--no-trainer`. */
  readonly trainer?: boolean;
}

/** Options that name the model and the data; `serve` adds those of its server. */
export function addConfigOptions(command: Command): Command {
  return command
    .option('-c, --config <file>', `configuration, YAML or JSON (default: ${defaultConfigFile} if it is there)`)
    .option('-s, --set <key=value>', 'override one key of the configuration; may be given again', collect)
    .option('-m, --model <path>', 'a Hugging Face directory or .gguf file to serve')
    .option('--upstream <url>', 'an OpenAI-compatible server to pass calls on to, instead of a model')
    .option('-d, --data <directory>', 'where the database and the policies live');
}

export function addServerOptions(command: Command): Command {
  return addConfigOptions(command)
    .option('--host <address>', 'address to listen on')
    .option('-p, --port <number>', 'port to listen on; 0 picks a free one', naturalNumber);
}

/** @throws ConfigError, UsageError, ModelError `not_found`, each in one sentence. */
export function configurationOf(options: ConfigOptions, defaults: { readonly port?: number } = {}): Config {
  if (options.model !== undefined && options.upstream !== undefined) throw new UsageError('Give either --model or --upstream, not both.');
  const config = loadConfig({
    file: options.config,
    sets: options.set ?? [],
    flags: (tree) => applyFlags(tree, { ...options, port: options.port ?? defaults.port }),
  });
  // Said at once, and not by a thread that is starting.
  const model = trainedModel(config);
  if (model !== null) locateModel(model);
  return config;
}

function applyFlags(tree: ConfigTree, options: Omit<ConfigOptions, 'port'> & { readonly port: number | undefined }): void {
  if (options.model !== undefined) tree['backend'] = { ...ofKind(tree['backend'], 'embedded'), model: options.model };
  if (options.upstream !== undefined) {
    tree['backend'] = { ...ofKind(tree['backend'], 'openai'), baseUrl: options.upstream };
    tree['trainer'] = { ...section(tree, 'trainer'), enabled: false };
  }
  if (options.data !== undefined) tree['dataDir'] = options.data;
  if (options.host !== undefined) tree['server'] = { ...section(tree, 'server'), host: options.host };
  if (options.port !== undefined) tree['server'] = { ...section(tree, 'server'), port: options.port };
  if (options.trainer === false) tree['trainer'] = { ...section(tree, 'trainer'), enabled: false };
  if (tree['backend'] === undefined) {
    throw new ConfigError(`No model is given: use --model PATH, --upstream URL, or a configuration with a backend (--config FILE or ${defaultConfigFile}).`);
  }
}

/** A flag changes the backend of its own kind (or of none, as `--set backend.threads=1` makes it) and replaces one of another kind. */
function ofKind(backend: unknown, kind: string): ConfigTree {
  return isTree(backend) && (backend['kind'] ?? kind) === kind ? { ...backend, kind } : { kind };
}

function section(tree: ConfigTree, key: string): ConfigTree {
  const value = tree[key];
  return isTree(value) ? value : {};
}
