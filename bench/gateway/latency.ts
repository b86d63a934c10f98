/** What one client waits: requests one after the other over one connection, each timed alone. */
import { Client } from 'undici';

const headers = { 'content-type': 'application/json', authorization: 'Bearer none' };

/** Milliseconds of each request, from its first byte sent to the last one received. Ends after `count` of them or `forMs`. */
export async function latencies(url: string, body: Buffer, { count, forMs }: { readonly count: number; readonly forMs: number }): Promise<number[]> {
  const client = new Client(new URL(url).origin, { pipelining: 1 });
  try {
    const times: number[] = [];
    for (const end = performance.now() + forMs; times.length < count && performance.now() < end;) {
      const startedAt = performance.now();
      await post(client, url, body);
      times.push(performance.now() - startedAt);
    }
    return times;
  } finally {
    await client.close();
  }
}

/** Below a base URL that may have a path. */
export const chatPath = (url: string): string => `${new URL(url).pathname.replace(/\/$/, '')}/v1/chat/completions`;

/** The answer's text. @throws Error where it is not a 200 */
export async function post(client: Client, url: string, body: Buffer): Promise<string> {
  const reply = await client.request({ method: 'POST', path: chatPath(url), headers, body });
  const text = await reply.body.text();
  if (reply.statusCode !== 200) throw new Error(`answered ${reply.statusCode}: ${text.slice(0, 300)}`);
  return text;
}
