/** What the request says of the answer's form → the grammar that sampling is held to. */
import type { Grammar } from '../../../model/grammar.ts';
import type { ToolFormat } from '../../../model/chat/tool-calls.ts';
import type { ChatRequest } from '../../dialects/chat.ts';
import { CLOSE_TAG, OPEN_TAG } from './reasoning.ts';

/** How the model may think before it answers: not at all, between tags of its own, or from where the prompt opened them. */
export type Thinking = 'none' | 'tags' | 'open';

/** Null: the answer is free. `format` is null where no calls are read. */
export function answerGrammar(request: ChatRequest, format: ToolFormat | null, thinking: Thinking): Grammar | null {
  const said = saidGrammar(request, format);
  if (said === null || thinking === 'none') return said;
  const thought: Grammar = { type: 'tagged', begin: thinking === 'open' ? '' : OPEN_TAG, content: { type: 'any' }, end: CLOSE_TAG };
  const gap: Grammar = { type: 'either', of: [{ type: 'literal', text: '\n\n' }, { type: 'literal', text: '' }] };
  const after: Grammar = { type: 'sequence', parts: [thought, gap, said] };
  return thinking === 'open' ? after : { type: 'either', of: [after, said] };
}

function saidGrammar({ tools, toolChoice, parallelToolCalls, responseFormat }: ChatRequest, format: ToolFormat | null): Grammar | null {
  if (format !== null && toolChoice.kind === 'named') return format.callsGrammar(tools.filter(({ name }) => name === toolChoice.name), true);
  if (format !== null && toolChoice.kind === 'required') return format.callsGrammar(tools, !parallelToolCalls);
  const content: Grammar | null = responseFormat.type === 'text' ? null : { type: 'json', schema: responseFormat.type === 'json_schema' ? responseFormat.schema : { type: 'object' } };
  if (format === null || tools.length === 0) return content;
  // The model may call instead of answering in the form that was asked for: once, as the library has no choice between what may go on and what may not.
  if (content !== null) return { type: 'either', of: [content, format.callsGrammar(tools, true)] };
  return tools.some(({ strict }) => strict) ? format.textGrammar(tools) : null;
}
