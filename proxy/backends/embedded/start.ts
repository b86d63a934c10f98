/** The policy runs in this process: its engine in a thread, the model's text in another. */
import type { EmbeddedBackendConfig } from '../../../config/schema.ts';
import { startEngine } from '../../../engine/client.ts';
import type { EngineOptions } from '../../../engine/engine.ts';
import { describeNeeds, memoryNeeds, requireMemory } from '../../../engine/memory.ts';
import type { Log } from '../../log.ts';
import type { TokenBackend } from '../tokens/backend.ts';
import { openTokenBackend } from '../tokens/open.ts';
import { CLOSE_TAG, OPEN_TAG } from '../tokens/reasoning.ts';
import { embeddedEngine } from './engine.ts';

/** What the engine needs to know beside its own section of the configuration. */
export type EngineNeeds = Pick<EngineOptions, 'cacheDir' | 'adapterTargets'>;

/** @throws ModelError, ChatTemplateError or EngineError with a sentence that says what to do */
export function startEmbedded(config: EmbeddedBackendConfig, needs: EngineNeeds, log: Log): Promise<TokenBackend> {
  return openTokenBackend(config, async ({ model, toolFormat }) => {
    const memory = memoryNeeds(model.config, config);
    requireMemory(memory, process.availableMemory());
    log.info(`the engine takes ${describeNeeds(memory)}`);
    const { maxContext, maxRows, maxQueue, maxQueueMs, maxStallMs, prefixCacheBytes, threads, weights, swap } = config;
    const spokenSpecials = [...toolFormat?.layoutTokens ?? [], OPEN_TAG, CLOSE_TAG];
    return embeddedEngine(await startEngine({ ...needs, model: config.model, maxContext, maxRows, maxQueue, maxQueueMs, maxStallMs, prefixCacheBytes, threads, weights, swap, spokenSpecials }));
  });
}
