/** A llama.cpp server behind the proxy. */
import type { TokenBackend } from '../tokens/backend.ts';
import { connectTokenServer, type TokenServerSettings } from '../tokens/connect.ts';
import { LlamaCppEngine } from './engine.ts';
import { readFacts } from './facts.ts';

/** @throws ModelError, ChatTemplateError or ApiError with a sentence that says what to do */
export function startLlamaCpp(settings: TokenServerSettings): Promise<TokenBackend> {
  return connectTokenServer(settings, async (server, model, signal) => new LlamaCppEngine(server, await readFacts(server, model, signal), model.tokenizer));
}
