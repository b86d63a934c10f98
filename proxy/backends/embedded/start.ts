/** Starts the parts of the embedded backend: the engine's thread, the prompt thread, the tokenizer on this one. */
import type { EmbeddedBackendConfig } from '../../../config/schema.ts';
import { startEngine } from '../../../engine/client.ts';
import type { EngineOptions } from '../../../engine/engine.ts';
import { describeNeeds, memoryNeeds, requireMemory } from '../../../engine/memory.ts';
import { toolFormats } from '../../../model/chat/tool-formats.ts';
import { openModel } from '../../../model/open.ts';
import type { Log } from '../../log.ts';
import { EmbeddedBackend } from './backend.ts';
import { PromptEncoder } from './prompts.ts';
import { CLOSE_TAG, OPEN_TAG } from './reasoning.ts';

/** What the engine needs to know beside its own section of the configuration. */
export type EngineNeeds = Pick<EngineOptions, 'cacheDir' | 'adapterTargets'>;

/** @throws ModelError, ChatTemplateError or EngineError with a sentence that says what to do */
export async function startEmbedded(config: EmbeddedBackendConfig, needs: EngineNeeds, log: Log): Promise<EmbeddedBackend> {
  const source = { model: config.model, chatTemplatePath: config.chatTemplate };
  // Read here first: what is wrong with the files is found before any thread starts.
  const model = await openModel(source.model, { ...source, name: config.name });
  model.weights.close();
  const memory = memoryNeeds(model.config, config);
  requireMemory(memory, process.availableMemory());
  log.info(`the engine takes ${describeNeeds(memory)}`);
  const { tokenizer, chatTemplate } = model;
  const { maxContext, maxRows, maxQueue, maxQueueMs, maxStallMs, prefixCacheBytes, threads, weights, swap } = config;
  const toolFormat = config.toolFormat === 'none' ? null : toolFormats[config.toolFormat];
  const thinks = config.reasoning === 'think' || (config.reasoning === 'auto' && chatTemplate.source.includes(CLOSE_TAG));
  const spokenSpecials = [...toolFormat?.layoutTokens ?? [], OPEN_TAG, CLOSE_TAG];
  const prompts = await PromptEncoder.start(source);
  try {
    const engine = await startEngine({ ...needs, model: config.model, maxContext, maxRows, maxQueue, maxQueueMs, maxStallMs, prefixCacheBytes, threads, weights, swap, spokenSpecials });
    return new EmbeddedBackend({
      engine,
      prompts,
      tokenizer,
      model: model.name,
      fingerprint: model.fingerprint,
      stopTokenIds: model.config.eosTokenIds,
      templateUsesTools: chatTemplate.usesTools,
      toolFormat,
      thinks,
      vocabSize: model.config.vocabSize,
    });
  } catch (error) {
    await prompts.close();
    throw error;
  }
}
