/** The thread that renders chat templates and encodes prompts, so that the main thread does HTTP only. */
import { parentPort, workerData } from 'node:worker_threads';
import { ChatTemplateError } from '../../../model/chat/template.ts';
import { openText } from '../../../model/open.ts';
import { continuation, type PromptText } from './continuation.ts';
import type { FromPrompts, PromptJob, TextSource } from './prompts.ts';

const port = parentPort;
if (port === null) throw new Error('prompt-worker runs as a worker thread');

// What the main thread put there (prompts.ts).
const { model, chatTemplatePath } = workerData as TextSource;
const { config, tokenizer, chatTemplate } = openText(model, { chatTemplatePath });
const promptText: PromptText = { chatTemplate, tokenizer, stopTokenIds: config.eosTokenIds };

function encode({ id, tools, sampled, ...prompt }: PromptJob): FromPrompts {
  try {
    const options = { ...prompt, ...(tools.length === 0 ? {} : { tools }) };
    const text = chatTemplate.render(options);
    const continued = sampled && continuation(promptText, options, text, sampled);
    return { type: 'encoded', id, ids: continued ?? tokenizer.encode(text) };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { type: 'failed', id, message, byTemplate: error instanceof ChatTemplateError };
  }
}

port.on('message', (job: PromptJob) => {
  const answer = encode(job);
  port.postMessage(answer, answer.type === 'encoded' ? [answer.ids.buffer as ArrayBuffer] : []); // never a SharedArrayBuffer: it was just made
});
port.postMessage({ type: 'ready' } satisfies FromPrompts);
