/** How models write tool calls, by the configured format. */
import type { EmbeddedBackendConfig } from '../../../config/schema.ts';
import type { ToolCallReader } from './choice-writer.ts';

export const toolCallReaders: Readonly<Record<EmbeddedBackendConfig['toolFormat'], (() => ToolCallReader) | null>> = {
  hermes: null,
  none: null,
};
