/** The architectures by the `model_type` of their `config.json`. Adding one is a file beside this one and a line here. */
import type { ModelConfig } from '../model.ts';
import type { Architecture } from './architecture.ts';
import { gemma3 } from './gemma3.ts';
import { llama } from './llama.ts';
import { qwen2 } from './qwen2.ts';
import { qwen3 } from './qwen3.ts';

export const architectures = { llama, qwen2, qwen3, gemma3_text: gemma3 } satisfies Readonly<Record<string, Architecture>>;

export type ArchitectureName = keyof typeof architectures;

export const isArchitecture = (name: string): name is ArchitectureName => Object.hasOwn(architectures, name);

export const architectureOf = (config: ModelConfig): Architecture => architectures[config.architecture];

export type { Architecture, AttentionCall, Forward } from './architecture.ts';
