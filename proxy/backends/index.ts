/** The policy backend that the configuration names, started. */
import type { Config } from '../../config/schema.ts';
import type { PolicyBackend } from './backend.ts';
import type { Log } from '../log.ts';
import type { EngineNeeds } from './embedded/start.ts';

/**
 * Only the backend that is asked for is loaded: most of them bring the model's text and graphs, which a server in front of another one does without.
 *
 * @throws ModelError, ChatTemplateError, EngineError or ApiError with a sentence that says what to do
 */
export async function createBackend(config: Config['backend'], needs: EngineNeeds, log: Log): Promise<PolicyBackend> {
  switch (config.kind) {
    case 'embedded': {
      const { startEmbedded } = await import('./embedded/start.ts');
      return startEmbedded(config, needs, log);
    }
    case 'vllm': {
      const { startVllm } = await import('./vllm/start.ts');
      return startVllm(config, log);
    }
    case 'llamacpp': {
      const { startLlamaCpp } = await import('./llamacpp/start.ts');
      return startLlamaCpp(config);
    }
    case 'sglang': {
      const { startSglang } = await import('./sglang/start.ts');
      return startSglang(config);
    }
    default: {
      const { OpenAIBackend } = await import('./openai.ts');
      const backend = new OpenAIBackend(config);
      await backend.probe();
      return backend;
    }
  }
}
