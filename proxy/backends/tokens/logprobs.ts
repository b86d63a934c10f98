/** `logprobs.content[]` entries: a token's text, bytes, log-prob and its alternatives. */
import type { SampledToken } from '../../../engine/engine.ts';
import type { Tokenizer } from '../../../model/tokenizer.ts';
import type { LogprobEntry, TokenLogprob } from '../../dialects/chat-reply.ts';

const decoder = new TextDecoder();

function tokenLogprob(tokenizer: Tokenizer, id: number, logprob: number): TokenLogprob {
  const bytes = tokenizer.tokenBytes(id);
  return { token: decoder.decode(bytes), logprob, bytes: [...bytes] };
}

/** Log-probs are the model's own (temperature 1), as the alternatives' are; capture keeps the sampled distribution's. */
export function logprobEntry(tokenizer: Tokenizer, token: SampledToken): LogprobEntry {
  return {
    ...tokenLogprob(tokenizer, token.id, token.rawLogprob),
    top_logprobs: token.top.map((top) => tokenLogprob(tokenizer, top.id, top.logprob)),
  };
}
