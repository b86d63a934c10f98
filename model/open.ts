/** Opens a model by path: its configuration, weights, tokenizer and chat template. */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { architectures } from './architectures/index.ts';
import { hubTemplate, type TemplateSources } from './chat/choose.ts';
import { createChatTemplate, noChatTemplate } from './chat/create.ts';
import type { ChatTemplate } from './chat/template.ts';
import { parseModelConfig, withGenerationConfig } from './config.ts';
import { ModelError } from './error.ts';
import { locateModel, type Location } from './locate.ts';
import type { Model, ModelConfig, Weights } from './model.ts';
import { createTokenizer } from './tokenizer/create.ts';
import { tokenizerFromGguf } from './tokenizer/gguf.ts';
import type { Tokenizer } from './tokenizer.ts';
import { openGguf } from './weights/gguf.ts';
import { openSharded, weightFiles } from './weights/sharded.ts';

export interface OpenOptions {
  /** Public name instead of the base name. */
  readonly name?: string | undefined;
  /** A Jinja template instead of the model's own. */
  readonly chatTemplatePath?: string | undefined;
}

/** What is needed to compute: a model without its text. */
export type ModelNumbers = Pick<Model, 'config' | 'weights' | 'fingerprint'>;

/** What is needed to turn messages into token ids and back: a model without its weights. */
export interface ModelText {
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  readonly chatTemplate: ChatTemplate;
}

interface Opened {
  readonly config: ModelConfig;
  readonly weights: Weights;
  /** Reads the tokenizer, the slow part, and finds the template. */
  readonly text: () => { readonly tokenizer: Tokenizer; readonly templates: TemplateSources | null };
  /** Files whose bytes are the fingerprint, in order. */
  readonly files: readonly string[];
}

/**
 * Opens a Hugging Face directory, a `.gguf` file, or the id of a model in the Hugging Face cache, and hashes its files. Close `weights` in the end.
 * @throws ModelError in one sentence that says what to do; ChatTemplateError `invalid_template`
 */
export async function openModel(pathOrId: string, options: OpenOptions = {}): Promise<Model> {
  const location = locateModel(pathOrId);
  const opened = open(location);
  try {
    return { name: options.name ?? location.name, path: location.path, ...await numbersOf(opened, location), ...textOf(opened, options) };
  } catch (error) {
    opened.weights.close();
    throw error;
  }
}

/** The number side alone, for a thread that speaks token ids only. Close `weights` in the end. Errors as `openModel`. */
export async function openWeights(pathOrId: string): Promise<ModelNumbers> {
  const location = locateModel(pathOrId);
  const opened = open(location);
  try {
    return await numbersOf(opened, location);
  } catch (error) {
    opened.weights.close();
    throw error;
  }
}

async function numbersOf(opened: Opened, { path }: Location): Promise<ModelNumbers> {
  checkTensors(opened, path);
  return { config: opened.config, weights: opened.weights, fingerprint: await hashFiles(opened.files) };
}

/** The text side alone, for a thread that renders and tokenizes: no tensor is read and nothing is hashed. Errors as `openModel`. */
export function openText(pathOrId: string, options: OpenOptions = {}): ModelText {
  const opened = open(locateModel(pathOrId));
  opened.weights.close();
  return textOf(opened, options);
}

function textOf({ config, text }: Opened, { chatTemplatePath }: OpenOptions): ModelText {
  const { tokenizer, templates } = text();
  // Chat models stop at the tokenizer's end token even where the configuration does not list it.
  const eos = tokenizer.eosToken === null ? undefined : tokenizer.tokenId(tokenizer.eosToken);
  const eosTokenIds = [...new Set([...config.eosTokenIds, ...(eos === undefined ? [] : [eos])])];
  const sources = chatTemplatePath === undefined ? templates : { plain: readText(chatTemplatePath) };
  return { config: { ...config, eosTokenIds }, tokenizer, chatTemplate: sources ? createChatTemplate(sources, tokenizer) : noChatTemplate };
}

function open(location: Location): Opened {
  return location.kind === 'gguf' ? openGgufModel(location.path) : openDirectory(location.path);
}

function openGgufModel(path: string): Opened {
  const { config, weights, metadata } = openGguf(path);
  const template = metadata.get('tokenizer.chat_template');
  const text = (): ReturnType<Opened['text']> => ({ tokenizer: tokenizerFromGguf(metadata, path), templates: typeof template === 'string' ? { plain: template } : null });
  return { config, weights, text, files: [path] };
}

function openDirectory(directory: string): Opened {
  const at = (file: string): string => join(directory, file);
  const config = parseModelConfig(readJson(at('config.json')), at('config.json'));
  const generation = at('generation_config.json');
  const tokenizerConfig = existsSync(at('tokenizer_config.json')) ? readJson(at('tokenizer_config.json')) : {};
  return {
    config: existsSync(generation) ? withGenerationConfig(config, readJson(generation), generation) : config,
    text: () => ({
      tokenizer: createTokenizer(readJson(at('tokenizer.json')), tokenizerConfig, directory),
      templates: existsSync(at('chat_template.jinja')) ? { plain: readText(at('chat_template.jinja')) } : hubTemplate(tokenizerConfig, at('tokenizer_config.json')),
    }),
    files: [at('config.json'), ...weightFiles(directory)],
    weights: openSharded(directory),
  };
}

/** What older versions of transformers stored although it follows from the configuration. */
const FOLLOWS_FROM_CONFIG = /\.rotary_emb\.inv_freq$|^lm_head\.weight$/;

/**
 * Every tensor of the architecture must be there, in its shape: found out now, not in the middle of a compilation. And there must be
 * none besides: what it holds would be left out of the numbers.
 */
function checkTensors({ config, weights }: Opened, path: string): void {
  const tensors = architectures[config.architecture].tensors(config);
  const foreign = weights.names().find((name) => !tensors.has(name) && !FOLLOWS_FROM_CONFIG.test(name));
  if (foreign !== undefined) throw new ModelError('unsupported', `${path}: not supported: tensor "${foreign}" has no place in a ${config.architecture} model of this configuration.`);
  for (const [name, shape] of tensors) {
    if (!weights.has(name)) throw new ModelError('corrupt', `${path} has no tensor "${name}", which its configuration calls for.`);
    const found = weights.shape(name);
    if (found.join() !== shape.join()) throw new ModelError('corrupt', `${path}: tensor "${name}" is [${found.join(', ')}], but its configuration calls for [${shape.join(', ')}].`);
  }
}

async function hashFiles(files: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const file of files) {
    for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer); // no encoding is set
  }
  return hash.digest('hex');
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new ModelError('not_found', `${path} cannot be read (${error instanceof Error ? error.message : String(error)}).`, { cause: error });
  }
}

function readJson(path: string): unknown {
  const text = readText(path);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ModelError('corrupt', `${path} is not JSON; copy or download it again.`, { cause: error });
  }
}
