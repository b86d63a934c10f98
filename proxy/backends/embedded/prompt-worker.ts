/** The thread that renders chat templates and encodes prompts, so that the main thread does HTTP only. */
import { parentPort, workerData } from 'node:worker_threads';
import { ChatTemplateError } from '../../../model/chat/template.ts';
import { openText } from '../../../model/open.ts';
import type { FromPrompts, PromptJob, TextSource } from './prompts.ts';

const port = parentPort;
if (port === null) throw new Error('prompt-worker runs as a worker thread');

// What the main thread put there (prompts.ts).
const { model, chatTemplatePath } = workerData as TextSource;
const { tokenizer, chatTemplate } = openText(model, { chatTemplatePath });

function encode({ id, tools, ...prompt }: PromptJob): FromPrompts {
  try {
    const text = chatTemplate.render({ ...prompt, ...(tools.length === 0 ? {} : { tools }) });
    return { type: 'encoded', id, ids: tokenizer.encode(text) };
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
