/** Bytes of the database for a step. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'undici';
import type { Server } from '../server.ts';
import { conversationBody, words, type ChatMessage } from './exchange.ts';
import { post } from './latency.ts';

const CONVERSATIONS = 20;
const TURNS = 20;
const WORDS_PER_TURN = 60;
/** A prompt of about 2 KB. */
const WORDS_PER_PROMPT = 300;

export interface Disk { readonly bytesPerStep: number; readonly steps: number; readonly requestBytesPerStep: number }

/** Requests of which no two are alike. */
export const different = (start: Start): Promise<Disk> => measure(start, async (send) => {
  const bodies = Array.from({ length: CONVERSATIONS * TURNS }, (_, i) => conversationBody([{ role: 'user', content: words(WORDS_PER_PROMPT, i + 1) }]));
  for (const body of bodies) await send(body);
  return bodies;
});

/** Conversations of 20 turns, each turn's request with all that was said before. */
export const conversations = (start: Start): Promise<Disk> => measure(start, async (send) => {
  const bodies: Buffer[] = [];
  for (let conversation = 0; conversation < CONVERSATIONS; conversation++) {
    const messages: ChatMessage[] = [{ role: 'system', content: words(WORDS_PER_PROMPT, 1000 + conversation) }];
    for (let turn = 0; turn < TURNS; turn++) {
      messages.push({ role: 'user', content: words(WORDS_PER_TURN, conversation * TURNS + turn) });
      const body = conversationBody(messages);
      bodies.push(body);
      const { choices: [choice] } = JSON.parse(await send(body)) as { choices: readonly { message: ChatMessage }[] }; // as the upstream answers
      if (choice !== undefined) messages.push({ role: 'assistant', content: choice.message.content });
    }
  }
  return bodies;
});

type Send = (body: Buffer) => Promise<string>;
type Start = () => Promise<{ readonly server: Server; readonly dataDir: string }>;

/** The size of the database file once its server has ended, and so has put everything into it. */
async function measure(start: Start, load: (send: Send) => Promise<readonly Buffer[]>): Promise<Disk> {
  const { server, dataDir } = await start();
  const database = join(dataDir, 'fulgurite.db');
  let bodies: readonly Buffer[];
  {
    await using _ = server;
    const client = new Client(server.url);
    bodies = await load((body) => post(client, server.url, body));
    await client.close();
  }
  return { bytesPerStep: statSync(database).size / bodies.length, steps: bodies.length, requestBytesPerStep: bodies.reduce((sum, body) => sum + body.length, 0) / bodies.length };
}
