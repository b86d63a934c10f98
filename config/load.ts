/** Reads a configuration: a file, then `--set` overrides, then flags, then secrets from the environment. */
import { existsSync, readFileSync } from 'node:fs';
import { parseDocument } from 'yaml';
import { ConfigError } from './errors.ts';
import { explain } from './explain.ts';
import { nodesAt } from './outline.ts';
import { type Config, configSchema } from './schema.ts';

export const defaultConfigFile = 'fulgurite.yaml';

export interface ConfigSources {
  /** YAML or JSON. Without it `fulgurite.yaml` of the working directory is read if it is there. */
  readonly file?: string | undefined;
  /** `trainer.optimizer.learningRate=0.001`, in order. */
  readonly sets?: readonly string[];
  /** Settings given by flags; applied last. */
  readonly flags?: (tree: ConfigTree) => void;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** A configuration as it was written, not yet checked. */
export type ConfigTree = Record<string, unknown>;

/** @throws ConfigError with one sentence: which key, what is allowed, what was probably meant. */
export function loadConfig(sources: ConfigSources): Config {
  const file = sources.file ?? (existsSync(defaultConfigFile) ? defaultConfigFile : undefined);
  const tree = file === undefined ? {} : readTree(file);
  for (const assignment of sources.sets ?? []) assign(tree, assignment);
  sources.flags?.(tree);
  return parseConfig(resolveSecrets(tree, sources.env ?? process.env), file);
}

/** Checks a whole configuration and fills in the defaults. `file` is for the message only. */
export function parseConfig(tree: unknown, file?: string): Config {
  const parsed = configSchema.safeParse(tree);
  if (parsed.success) return parsed.data;
  const sentence = explain(parsed.error.issues, tree);
  throw new ConfigError(file === undefined ? `Configuration: ${sentence}` : `${file}: ${sentence}`);
}

function readTree(file: string): ConfigTree {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error && 'code' in error && error.code === 'ENOENT' ? 'there is no such file' : String(error);
    throw new ConfigError(`Cannot read the configuration ${file}: ${reason}.`, { cause: error });
  }
  const document = parseDocument(text, { prettyErrors: true });
  const [problem] = document.errors;
  if (problem) throw new ConfigError(`${file} is not valid YAML: ${problem.message.split('\n')[0]?.replace(/:$/, '')}.`);
  const tree: unknown = document.toJS() ?? {};
  if (!isTree(tree)) throw new ConfigError(`${file}: the configuration must be a mapping of keys to values.`);
  return tree;
}

/** Sets `a.b.c=value` in place. The value is read as YAML, or as it stands where the setting is a string. */
function assign(tree: ConfigTree, assignment: string): void {
  const equals = assignment.indexOf('=');
  const path = assignment.slice(0, equals).trim().split('.');
  if (equals <= 0 || path.includes('')) throw new ConfigError(`--set takes KEY=VALUE, for example --set trainer.seed=1, not "${assignment}".`);
  const raw = assignment.slice(equals + 1);
  const nodes = nodesAt(path);
  const isText = nodes.length > 0 && nodes.every((node) => node.type === 'string');
  let target = tree;
  for (const key of path.slice(0, -1)) {
    const child = target[key] ?? {};
    if (!isTree(child)) throw new ConfigError(`--set ${assignment}: ${key} is not a mapping.`);
    target[key] = child;
    target = child;
  }
  target[path.at(-1) ?? ''] = isText ? raw : readScalar(raw, assignment);
}

function readScalar(raw: string, assignment: string): unknown {
  const document = parseDocument(raw);
  if (document.errors.length > 0) throw new ConfigError(`--set ${assignment}: the value is not valid YAML.`);
  return document.toJS();
}

/** Replaces every "env:NAME" by the variable's value. */
function resolveSecrets(value: unknown, env: Readonly<Record<string, string | undefined>>): unknown {
  if (typeof value === 'string' && value.startsWith('env:')) {
    const name = value.slice('env:'.length);
    const secret = env[name];
    if (secret === undefined || secret === '') throw new ConfigError(`The configuration reads the environment variable ${name}, which is not set.`);
    return secret;
  }
  if (Array.isArray(value)) return value.map((item) => resolveSecrets(item, env));
  if (isTree(value)) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, resolveSecrets(item, env)]));
  return value;
}

/** The configuration with its secrets blanked, for printing. */
export function withoutSecrets(config: Config): Config {
  const { backend, server } = config;
  return {
    ...config,
    server: { ...server, keys: server.keys.map((key) => ({ ...key, key: '********' })) },
    backend: 'apiKey' in backend && backend.apiKey !== undefined ? { ...backend, apiKey: '********' } : backend,
  };
}

export function isTree(value: unknown): value is ConfigTree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
