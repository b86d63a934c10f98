/** What a server with token ids (vLLM) writes, made small: one token a character. */

export const promptIds = [11, 12, 13];
const idOf = (text: string): number => 100 + (text.codePointAt(0) ?? 0);

const chunk = (choice: object, more: object = {}): string =>
  JSON.stringify({ id: 'chatcmpl-up', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, finish_reason: null, ...choice }], ...more });

export const roleChunk = chunk({ delta: { role: 'assistant', content: '' } }, { prompt_token_ids: promptIds });
export const tokenChunk = (text: string): string =>
  chunk({ delta: { content: text }, token_ids: [idOf(text)], logprobs: { content: [{ token: text, logprob: -0.5, bytes: [], top_logprobs: [] }] } });
export const finishChunk = chunk({ delta: {}, finish_reason: 'stop' });
export const usageChunk = JSON.stringify({ id: 'chatcmpl-up', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [], usage: { prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 } });

export const event = (data: string): string => `data: ${data}\n\n`;
/** A whole stream of `text`. */
export const wholeStream = (text: string): string =>
  [roleChunk, ...Array.from(text, tokenChunk), finishChunk, usageChunk, '[DONE]'].map(event).join('');

export const wholeBody = (text: string): Record<string, unknown> => ({
  id: 'chatcmpl-up', object: 'chat.completion', created: 1, model: 'm', prompt_token_ids: promptIds,
  choices: [{
    index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop', token_ids: Array.from(text, idOf),
    logprobs: { content: Array.from(text, (token) => ({ token, logprob: -0.5, bytes: [], top_logprobs: [] })) },
  }],
  usage: { prompt_tokens: 3, completion_tokens: text.length, total_tokens: 3 + text.length },
});
