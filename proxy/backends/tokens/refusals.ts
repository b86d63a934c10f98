/** What a backend can't do is said, never silently left out. */
import { ApiError } from '../../errors.ts';
import type { ChatRequest } from '../../dialects/chat.ts';

export interface Abilities {
  /** The chat template shows tools to the model. */
  readonly templateUsesTools: boolean;
  /** The model's way of writing tool calls is known. */
  readonly parsesToolCalls: boolean;
  /** Calls can be told from text while they are written. */
  readonly holdsStrictCalls: boolean;
  /** Width of the logits. */
  readonly vocabSize: number;
}

const unsupported = (param: string, message: string): ApiError => new ApiError(400, message, { code: 'unsupported_parameter', param });

function toolRefusal(request: ChatRequest, abilities: Abilities): ApiError | null {
  if (request.tools.length === 0 || request.toolChoice.kind === 'none') return null;
  if (!abilities.templateUsesTools) {
    return unsupported('tools', 'This model\'s chat template does not show tools to the model. Set backend.chatTemplate to a template that does, or send no tools.');
  }
  if (!abilities.parsesToolCalls) {
    return unsupported('tools', 'backend.toolFormat is "none", so this model\'s tool calls could not be read. Set it to the way in which the model writes calls ("hermes", "llama-json", "pythonic", "qwen-coder"), or send no tools.');
  }
  const isFree = request.toolChoice.kind === 'auto' && request.responseFormat.type === 'text';
  if (isFree && !abilities.holdsStrictCalls && request.tools.some(({ strict }) => strict)) {
    return unsupported('tools', 'Strict tools need calls that can be told from text as they begin, which those of this backend.toolFormat cannot. Use tool_choice "required", or leave strict out.');
  }
  return null;
}

/** The request asks for an answer of a form that sampling there cannot be held to. */
export function unheld(backend: string): ApiError {
  return unsupported('response_format', `The "${backend}" backend cannot hold a model that thinks, or strict tools that it may call or not, to a form. Use tool_choice "required", leave strict out, or set backend.reasoning to "none".`);
}

/** The first thing in the request that this engine would have to ignore; null if there is none. */
export function refusal(request: ChatRequest, abilities: Abilities): ApiError | null {
  for (const [param, ids] of [['logit_bias', request.logitBias.map(([id]) => id)], ['stop_token_ids', request.stopTokenIds]] as const) {
    const beyond = ids.find((id) => id >= abilities.vocabSize);
    if (beyond !== undefined) return new ApiError(400, `${param} names the token ${beyond}, but this model has ${abilities.vocabSize} tokens.`, { code: 'invalid_value', param });
  }
  return toolRefusal(request, abilities);
}
