/** The policy backend that the configuration names, started. */
import type { Config } from '../../config/schema.ts';
import type { PolicyBackend } from './backend.ts';
import type { Log } from '../log.ts';
import { startEmbedded, type EngineNeeds } from './embedded/start.ts';
import { OpenAIBackend } from './openai.ts';

/**
 * @throws ModelError, ChatTemplateError, EngineError or ApiError with a sentence that says what to do
 */
export async function createBackend(config: Config['backend'], needs: EngineNeeds, log: Log): Promise<PolicyBackend> {
  if (config.kind === 'embedded') return startEmbedded(config, needs, log);
  const backend = new OpenAIBackend(config);
  await backend.probe();
  return backend;
}
