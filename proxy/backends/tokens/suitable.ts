/** Whether a server and a model's files here speak of the same tokens. */
import type { Tokenizer } from '../../../model/tokenizer.ts';
import { ApiError } from '../../errors.ts';
import { isRecord, numbers } from '../openai/json.ts';
import type { TokenServer } from './server.ts';

/** Ordinary text, markup of chat templates, several scripts: two tokenizers that cut all of it alike are taken for the same. */
export const sampleText = 'Hello, world!  12345 naïve “quotes” {"a": [1, 2]}\n\tdef f(x):\n\n日本語 🙂 <|im_start|>user\n<|im_end|></s><|eot_id|>';

/** @param answer the server's to `sampleText`: `{"tokens": […]}` @throws ApiError in one sentence that says what to do */
export function requireSameTokens(server: TokenServer, tokenizer: Tokenizer, answer: unknown): void {
  const ids = isRecord(answer) ? numbers(answer['tokens']) : undefined;
  if (ids?.join() !== tokenizer.encode(sampleText).join()) throw unsuitable(server, 'It cuts text into other tokens than backend.model does: give the model that it serves.');
}

export const unsuitable = (server: TokenServer, why: string): ApiError =>
  new ApiError(502, `The server at ${server.baseUrl} cannot serve token ids here. ${why}`, { code: 'unsuitable_server', type: 'upstream_error' });
