/** What is asked and answered: one request of 2 KB, one answer of 9.6 KB in vLLM's shape, one stream, and a conversation. Always the same bytes. */

export const MODEL = 'fixed';
/** With this model the prompt's ids are those of its messages, so that a conversation's prompts extend one another. */
export const CONVERSING = 'conversing';
export const PROMPT_TOKENS = 400;
export const COMPLETION_TOKENS = 60;
/** Of a stream; two more chunks begin and end it. */
export const DELTAS = 64;
export const GAP_MS = 20;
const REQUEST_BYTES = 2048;
const RESPONSE_BYTES = 9650;
const VOCABULARY = 49_152;

export interface ChatMessage { readonly role: string; readonly content: string }

const lexicon = 'river stone light garden window market table doctor orange paper summer winter music bridge forest letter kitchen engine silver teacher morning evening planet ocean mirror'.split(' ');

/** `count` words that the seed decides. */
export function words(count: number, seed: number): string {
  return Array.from({ length: count }, (_, i) => lexicon[Math.abs(Math.imul(seed * 7919 + i, 0x9e3779b1) >> 8) % lexicon.length]).join(' ');
}

/** The request, filled up to its 2 KB. */
export function requestBody({ stream }: { readonly stream: boolean }): Buffer {
  const of = (content: string) => JSON.stringify({
    model: MODEL, messages: [{ role: 'system', content: 'You answer in few words.' }, { role: 'user', content }], temperature: 1, max_tokens: DELTAS, ...(stream ? { stream } : {}),
  });
  return Buffer.from(of(words(400, 1).slice(0, REQUEST_BYTES - of('').length)));
}

/** The next request of a conversation. */
export function conversationBody(messages: readonly ChatMessage[]): Buffer {
  return Buffer.from(JSON.stringify({ model: CONVERSING, messages, temperature: 1, max_tokens: COMPLETION_TOKENS }));
}

/** The answer of the fixed model, filled up to its 9.6 KB. */
export function responseBody(): Buffer {
  const content = words(COMPLETION_TOKENS, 2);
  const promptIds = Array.from({ length: PROMPT_TOKENS }, (_, i) => (i * 104_729) % VOCABULARY);
  const bare = answer(MODEL, content, promptIds, '');
  return Buffer.from(answer(MODEL, content, promptIds, 'x'.repeat(RESPONSE_BYTES - bare.length)));
}

/** The answer of the conversing model: other words at every turn. */
export function conversationAnswer(messages: readonly ChatMessage[]): Buffer {
  return Buffer.from(answer(CONVERSING, words(COMPLETION_TOKENS, seedOf(messages)), [...messages.flatMap(({ role, content }) => [...turn(role), ...tokens(content), 2]), ...turn('assistant')], ''));
}

/** The stream's events, to be sent one every 20 ms; the last one ends it. */
export function streamEvents(): readonly Buffer[] {
  const event = (choice: object, more: object = {}) => Buffer.from(`data: ${JSON.stringify({ id: 'chatcmpl-fixed', object: 'chat.completion.chunk', created: 1, model: MODEL, choices: [{ index: 0, finish_reason: null, ...choice }], ...more })}\n\n`);
  const promptIds = Array.from({ length: PROMPT_TOKENS }, (_, i) => (i * 104_729) % VOCABULARY);
  return [
    event({ delta: { role: 'assistant', content: '' }, logprobs: null }, { prompt_token_ids: promptIds }),
    ...Array.from({ length: DELTAS }, (_, i) => event({ delta: { content: ` ${words(1, i)}` }, logprobs: { content: [logprob(` ${words(1, i)}`, i)] }, token_ids: [i + 3] })),
    Buffer.concat([event({ delta: {}, logprobs: { content: [logprob('', DELTAS)] }, finish_reason: 'stop', token_ids: [2] }), Buffer.from('data: [DONE]\n\n')]),
  ];
}

function answer(model: string, content: string, promptIds: readonly number[], filling: string): string {
  const texts = content.split(' ').map((word, i) => (i === 0 ? word : ` ${word}`));
  return JSON.stringify({
    id: 'chatcmpl-fixed', object: 'chat.completion', created: 1, model,
    choices: [{
      index: 0, message: { role: 'assistant', content, refusal: null }, logprobs: { content: texts.map(logprob) }, finish_reason: 'stop', stop_reason: null,
      token_ids: tokens(content),
    }],
    system_fingerprint: `fixed-${filling}`,
    usage: { prompt_tokens: promptIds.length, total_tokens: promptIds.length + texts.length, completion_tokens: texts.length },
    prompt_token_ids: promptIds,
  });
}

const logprob = (token: string, i: number) => ({ token, logprob: -((i * 0.618_033_988_749) % 3) - 0.001, bytes: [...Buffer.from(token)], top_logprobs: [] });

const seedOf = (messages: readonly ChatMessage[]): number => messages.flatMap(({ content }) => tokens(content)).reduce((hash, token) => (hash * 31 + token) | 0, 7);

const turn = (role: string): number[] => [1, 10 + role.length];

/** One id a word. */
const tokens = (text: string): number[] => text.split(' ').map((word) => 100 + Buffer.from(word).reduce((hash, byte) => (hash * 31 + byte) % (VOCABULARY - 100), 7));
