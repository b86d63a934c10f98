/** `continue_final_message`: the prompt ends inside the last message, so that the model goes on with it (transformers `render_jinja_template`). */
import { ChatTemplateError, type ChatMessage } from './template.ts';

/** Put after the message, to be found again in what the template made of it; the space tells whether the template trims. */
const TAG = 'CONTINUE_FINAL_MESSAGE_TAG ';

/** @throws ChatTemplateError `render_failed` where the last message has no text */
export function tagFinalMessage(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const final = messages.at(-1);
  const content = tagged(final?.content);
  if (final === undefined || content === null) throw new ChatTemplateError('render_failed', 'continue_final_message is set, but the last message has no text to continue.');
  return [...messages.slice(0, -1), { ...final, content }];
}

/** The last text of the content with the tag after it; null if there is none. */
function tagged(content: unknown): unknown {
  if (typeof content === 'string') return content + TAG;
  if (!Array.isArray(content)) return null;
  const parts: readonly unknown[] = content;
  const at = parts.findLastIndex(isText);
  const part = parts[at];
  return isText(part) ? parts.with(at, { ...part, text: part.text + TAG }) : null;
}

const isText = (part: unknown): part is { readonly text: string } => typeof part === 'object' && part !== null && 'text' in part && typeof part.text === 'string';

/** What comes before the tag. @throws ChatTemplateError `render_failed` where the template does not show the message's end */
export function cutAtTag(rendered: string): string {
  const at = rendered.lastIndexOf(TAG.trimEnd());
  if (at < 0) throw new ChatTemplateError('render_failed', 'continue_final_message is set, but the chat template does not show the end of the last message.');
  const before = rendered.slice(0, at);
  return rendered.startsWith(TAG, at) ? before : before.trimEnd();
}
