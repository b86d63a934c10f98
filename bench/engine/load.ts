/** Load on an OpenAI-compatible server: streams of answers, each client sending the next request when its last one has ended. */
import { Agent, fetch } from 'undici';

/** An idle connection is ours to close, before any server does: a request that meets a server's closing is lost, and loads are seconds apart. */
const connections = new Agent({ keepAliveTimeout: 1000, keepAliveMaxTimeout: 1000 });

export interface Load {
  readonly url: string;
  readonly model: string;
  readonly clients: number;
  /** Requests of each client. */
  readonly requests: number;
  /** Words of a message; most are one token. */
  readonly promptWords: number;
  readonly maxTokens: number;
  /** No two prompts of runs with different numbers begin alike, so that no cache helps. */
  readonly run: number;
}

export interface Measured {
  /** Of all clients together. */
  readonly outputTokensPerSecond: number;
  readonly promptTokensPerSecond: number;
  /** Seconds to the first token, of each request. */
  readonly firstToken: readonly number[];
  /** Tokens of one prompt, on average. */
  readonly promptTokens: number;
}

interface Answer {
  readonly firstToken: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
}

const WORDS = 'river stone light garden window market table doctor orange paper summer winter music bridge forest letter kitchen engine silver teacher morning evening planet ocean mirror basket travel number simple quiet yellow circle north friend dinner ticket harbor valley copper string button camera pocket'.split(' ');

export async function measure(load: Load): Promise<Measured> {
  const started = performance.now();
  const perClient = await Promise.all(Array.from({ length: load.clients }, async (_, client) => {
    const answers: Answer[] = [];
    for (let request = 0; request < load.requests; request++) answers.push(await complete(load, `${load.run} ${client} ${request}`));
    return answers;
  }));
  const seconds = (performance.now() - started) / 1000;
  const answers = perClient.flat();
  const promptTokens = answers.reduce((sum, answer) => sum + answer.promptTokens, 0);
  return {
    outputTokensPerSecond: answers.reduce((sum, answer) => sum + answer.completionTokens, 0) / seconds,
    promptTokensPerSecond: promptTokens / seconds,
    firstToken: answers.map(({ firstToken }) => firstToken),
    promptTokens: promptTokens / answers.length,
  };
}

/** @param q between 0 and 1 */
export function quantile(numbers: readonly number[], q: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.round(q * (sorted.length - 1))] ?? NaN;
}

async function complete({ url, model, promptWords, maxTokens }: Load, name: string): Promise<Answer> {
  const body = { model, messages: [{ role: 'user', content: prompt(name, promptWords) }], max_tokens: maxTokens, temperature: 1, stream: true, stream_options: { include_usage: true } };
  const started = performance.now();
  const response = await fetch(`${url}/v1/chat/completions`, { dispatcher: connections, method: 'POST', headers: { 'content-type': 'application/json', authorization: 'Bearer none' }, body: JSON.stringify(body) }).catch((error: unknown) => {
    throw new Error(`${url} did not answer: ${error instanceof Error ? error.cause instanceof Error ? error.cause.message : error.message : String(error)}`);
  });
  if (!response.ok || !response.body) throw new Error(`${url} answered ${response.status}: ${(await response.text()).slice(0, 300)}`);
  let firstToken = NaN;
  let usage = '';
  let rest = '';
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    if (Number.isNaN(firstToken)) firstToken = (performance.now() - started) / 1000;
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line.includes('"usage":{')) usage = line.slice('data:'.length); // the only frame that is parsed: the load must cost little beside the server
    }
  }
  if (usage === '') throw new Error(`${url} sent no usage`);
  const tokens = (JSON.parse(usage) as { usage: { prompt_tokens: number; completion_tokens: number } }).usage;
  return { firstToken, promptTokens: tokens.prompt_tokens, completionTokens: tokens.completion_tokens };
}

/** Words in an order that its name decides. */
function prompt(name: string, words: number): string {
  let state = Buffer.from(name).reduce((hash, byte) => Math.imul(hash ^ byte, 0x01000193), 0x811c9dc5);
  const next = (): string => {
    state = Math.imul(state, 1664525) + 1013904223;
    return WORDS[(state >>> 8) % WORDS.length] ?? '';
  };
  return `Story ${name} with: ${Array.from({ length: words }, next).join(' ')}`;
}
