/** The ways of writing tool calls, by the names that the configuration has for them. */
import { hermes } from './hermes.ts';
import { llamaJson } from './llama-json.ts';
import { pythonic } from './pythonic.ts';
import { qwenCoder } from './qwen-coder.ts';
import type { ToolFormat } from './tool-calls.ts';

export const toolFormats = { hermes, 'llama-json': llamaJson, pythonic, 'qwen-coder': qwenCoder } as const satisfies Readonly<Record<string, ToolFormat>>;
