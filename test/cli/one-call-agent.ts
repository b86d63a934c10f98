/** An agent that is an ordinary HTTP client: asks its task's question once and prints the answer. */
import { writeFileSync } from 'node:fs';

export function writeOneCallAgent(path: string, maxTokens: number): void {
  writeFileSync(path, `
    import { json } from 'node:stream/consumers';
    const { q } = await json(process.stdin);
    const answer = await fetch(process.env.OPENAI_BASE_URL + '/chat/completions', {
      method: 'POST', headers: { authorization: 'Bearer ' + process.env.OPENAI_API_KEY, 'content-type': 'application/json' },
      body: JSON.stringify({ model: process.env.OPENAI_MODEL, max_tokens: ${maxTokens}, messages: [{ role: 'user', content: q }] }),
    });
    if (!answer.ok) throw new Error(await answer.text());
    console.log((await answer.json()).choices[0].message.content ?? '');
  `);
}
