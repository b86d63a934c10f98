/** Starts a backend whose engine speaks token ids: the model's text is read here, the engine is the caller's. */
import type { EmbeddedBackendConfig } from '../../../config/schema.ts';
import { toolFormats } from '../../../model/chat/tool-formats.ts';
import type { ToolFormat } from '../../../model/chat/tool-calls.ts';
import type { Model } from '../../../model/model.ts';
import { openModel } from '../../../model/open.ts';
import { TokenBackend } from './backend.ts';
import type { TokenEngine } from './engine.ts';
import { PromptEncoder } from './prompts.ts';
import { CLOSE_TAG } from './reasoning.ts';

/** What the configuration says of a model's text. */
export type TextSettings = Pick<EmbeddedBackendConfig, 'model' | 'name' | 'chatTemplate' | 'toolFormat' | 'reasoning'>;

export interface OpenedText {
  readonly model: Omit<Model, 'weights'>;
  readonly toolFormat: ToolFormat | null;
}

/**
 * What is wrong with the files is found before any thread starts.
 * @throws ModelError, ChatTemplateError with a sentence that says what to do, and what `startEngine` throws
 */
export async function openTokenBackend(settings: TextSettings, startEngine: (text: OpenedText) => Promise<TokenEngine>): Promise<TokenBackend> {
  const source = { model: settings.model, chatTemplatePath: settings.chatTemplate };
  const { weights, ...model } = await openModel(source.model, { ...source, name: settings.name });
  weights.close();
  const toolFormat = settings.toolFormat === 'none' ? null : toolFormats[settings.toolFormat];
  const engine = await startEngine({ model, toolFormat });
  try {
    const { tokenizer, chatTemplate, config } = model;
    return new TokenBackend({
      engine,
      prompts: await PromptEncoder.start(source),
      tokenizer,
      model: model.name,
      fingerprint: model.fingerprint,
      stopTokenIds: config.eosTokenIds,
      templateUsesTools: chatTemplate.usesTools,
      toolFormat,
      thinks: settings.reasoning === 'think' || (settings.reasoning === 'auto' && chatTemplate.source.includes(CLOSE_TAG)),
      vocabSize: config.vocabSize,
    });
  } catch (error) {
    await engine.close();
    throw error;
  }
}
