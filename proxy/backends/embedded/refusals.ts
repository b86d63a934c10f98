/** What the embedded engine can't do yet is said, never silently left out. */
import { ApiError } from '../../errors.ts';
import type { ChatRequest } from '../../dialects/chat.ts';

export interface Abilities {
  /** The chat template shows tools to the model. */
  readonly templateUsesTools: boolean;
  /** The model's way of writing tool calls is known. */
  readonly parsesToolCalls: boolean;
}

const unsupported = (param: string, message: string): ApiError => new ApiError(400, message, { code: 'unsupported_parameter', param });

function toolRefusal(request: ChatRequest, abilities: Abilities): ApiError | null {
  if (request.tools.length === 0 || request.toolChoice.kind === 'none') return null;
  if (!abilities.templateUsesTools) {
    return unsupported('tools', 'This model\'s chat template does not show tools to the model. Set backend.chatTemplate to a template that does, or send no tools.');
  }
  if (!abilities.parsesToolCalls) {
    return unsupported('tools', 'backend.toolFormat is "none", so this model\'s tool calls could not be read. Set it to "hermes", or send no tools.');
  }
  if (request.toolChoice.kind === 'auto') return null;
  const choice = request.toolChoice.kind === 'named' ? 'a named function' : '"required"';
  return unsupported('tool_choice', `tool_choice ${choice} needs constrained decoding, which the embedded engine does not have yet. Use "auto", and ask for the call in the prompt.`);
}

/** The first thing in the request that this engine would have to ignore; null if there is none. */
export function refusal(request: ChatRequest, abilities: Abilities): ApiError | null {
  if (request.responseFormat !== 'text') {
    return unsupported('response_format', `response_format "${request.responseFormat}" needs constrained decoding, which the embedded engine does not have yet. Use "text", and ask for JSON in the prompt.`);
  }
  if (Object.keys(request.logitBias).length > 0) {
    return unsupported('logit_bias', 'logit_bias is not supported by the embedded engine. Leave it out.');
  }
  return toolRefusal(request, abilities);
}
