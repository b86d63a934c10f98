/** Clients that always have a stream open, each a rollout of its own with a reward, and when each of their tokens came. */
import type { AdminClient } from '../../cli/client/admin.ts';

export interface Stream {
  /** Milliseconds since the page's origin (`performance.now()`). */
  readonly startedMs: number;
  readonly endedMs: number;
  /** When each frame with content came. */
  readonly tokensMs: readonly number[];
  /** Whether it came to its end, without an error. */
  readonly whole: boolean;
  readonly step: string;
}

export interface Load {
  readonly admin: AdminClient;
  readonly clients: number;
  readonly maxTokens: number;
  /** Rollouts of a task. */
  readonly group: number;
  readonly until: AbortSignal;
}

const subjects = ['the sea', 'a garden', 'winter', 'an old clock', 'bread', 'the moon', 'a train', 'music', 'a letter', 'rain'];

/** Streams until told to end; those that are open then come to their end. */
export async function keepStreaming({ admin, clients, maxTokens, group, until }: Load): Promise<Stream[]> {
  const streams: Stream[] = [];
  let count = 0;
  const client = async (): Promise<void> => {
    while (!until.aborted) {
      const index = count++;
      const task = Math.floor(index / group);
      const { id, base_url: path } = await admin.createRollout({ task_id: `task-${task}`, mode: 'train', input: null });
      const { text, ...stream } = await ask(`${admin.connection.url}${path}/chat/completions`, `Write one sentence about ${subjects[task % subjects.length]}.`, maxTokens, index);
      streams.push(stream);
      // Something that differs within a group, and that a policy can learn.
      await admin.giveReward(id, Math.min(text.length / 200, 1), 'command');
      await admin.endRollout(id, { state: 'succeeded' });
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return streams;
}

async function ask(url: string, content: string, maxTokens: number, seed: number): Promise<Stream & { readonly text: string }> {
  const startedMs = performance.now();
  const body = { model: 'smollm2', messages: [{ role: 'user', content }], max_tokens: maxTokens, temperature: 1, top_p: 1, seed, stream: true };
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  const tokensMs: number[] = [];
  let all = '';
  if (response.body) {
    for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
      const nowMs = performance.now();
      for (const _ of piece.matchAll(/"delta":\{"content":"[^"]/g)) tokensMs.push(nowMs);
      all += piece;
    }
  }
  const text = [...all.matchAll(/"content":"((?:[^"\\]|\\.)*)"/g)].map(([, content]) => content).join('');
  return { startedMs, endedMs: performance.now(), tokensMs, whole: response.ok && all.endsWith('data: [DONE]\n\n') && !all.includes('"error"'), step: response.headers.get('x-fulgurite-step') ?? '', text };
}
