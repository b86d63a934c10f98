/** The architectures by name. Adding one is a file beside this one, a line here, and its name in `ModelConfig`. */
import type { ModelConfig } from '../model.ts';
import type { Architecture } from './architecture.ts';
import { llama } from './llama.ts';

export const architectures: Readonly<Record<ModelConfig['architecture'], Architecture>> = { llama };

export const architectureOf = (config: ModelConfig): Architecture => architectures[config.architecture];

export type { Architecture, AttentionCall, Forward } from './architecture.ts';
