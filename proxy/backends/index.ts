/** The policy backend that the configuration names, started. */
import type { Config } from '../../config/schema.ts';
import type { PolicyBackend } from './backend.ts';
import type { Log } from '../log.ts';
import { startEmbedded, type EngineNeeds } from './embedded/start.ts';
import { LlamaCppEngine } from './llamacpp/engine.ts';
import { readFacts as readLlamaCppFacts } from './llamacpp/facts.ts';
import { OpenAIBackend } from './openai.ts';
import { SglangEngine } from './sglang/engine.ts';
import { readFacts as readSglangFacts } from './sglang/facts.ts';
import { connectTokenServer } from './tokens/connect.ts';
import { startVllm } from './vllm/start.ts';

/**
 * @throws ModelError, ChatTemplateError, EngineError or ApiError with a sentence that says what to do
 */
export async function createBackend(config: Config['backend'], needs: EngineNeeds, log: Log): Promise<PolicyBackend> {
  if (config.kind === 'embedded') return startEmbedded(config, needs, log);
  if (config.kind === 'vllm') return startVllm(config, log);
  if (config.kind === 'llamacpp') return connectTokenServer(config, async (server, model, signal) => new LlamaCppEngine(server, await readLlamaCppFacts(server, model, signal), model.tokenizer));
  if (config.kind === 'sglang') return connectTokenServer(config, async (server, model, signal) => new SglangEngine(server, await readSglangFacts(server, model, signal)));
  const backend = new OpenAIBackend(config);
  await backend.probe();
  return backend;
}
