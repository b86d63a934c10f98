/** `chat/`: conversations as transformers renders them, with the assistant's part, or as it refuses them. Everything is exact. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assistantMask } from '../../model/chat/assistant-mask.ts';
import { createChatTemplate } from '../../model/chat/create.ts';
import { ChatTemplateError, type ChatMessage, type ChatTemplate, type RenderOptions } from '../../model/chat/template.ts';
import type { Tokenizer } from '../../model/tokenizer.ts';
import { equal, Mismatch, unknown, type Check } from './check.ts';
import { codePointsBefore } from './code-points.ts';
import { readText } from './files.ts';
import { openTokenizer } from './tokenizers.ts';

interface Case {
  readonly template: string;
  readonly conversation: string;
  readonly tokenizer: string;
  readonly kwargs: Readonly<Record<string, unknown>>;
  /** One of `text` and `error` is there. */
  readonly text?: string;
  readonly error?: string;
  readonly ids?: readonly number[];
  /** In code points; they go on behind the text where it was cut (`continue_final_message`). */
  readonly assistant_char_spans?: readonly (readonly [number, number])[];
  readonly assistant_mask?: readonly number[];
}

interface Stored {
  readonly date_string: string;
  readonly conversations: Readonly<Record<string, { readonly messages: readonly ChatMessage[]; readonly tools: readonly unknown[] | null }>>;
  readonly cases: readonly Case[];
}

interface Speaker {
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
}

export function* chat(set: string): Generator<Check> {
  const stored: Stored = JSON.parse(readText(set, 'chat/chat.json'));
  const opened = new Map<string, Speaker>();
  const speakerOf = ({ template, tokenizer: kind }: Case): Speaker => {
    const key = `${template} ${kind}`;
    const tokenizer = opened.get(key)?.tokenizer ?? openTokenizer(set, kind);
    const speaker = opened.get(key) ?? { tokenizer, template: createChatTemplate({ plain: readText(homeOf(set, template), `chat/templates/${template}.jinja`) }, tokenizer) };
    opened.set(key, speaker);
    return speaker;
  };
  for (const stored_case of stored.cases) {
    const { template, conversation, kwargs } = stored_case;
    const name = `${template}, ${conversation}, ${JSON.stringify(kwargs)}`;
    const said = stored.conversations[conversation];
    if (said === undefined) yield unknown(name, `the set has no conversation "${conversation}"`);
    else yield { name, run: () => compare(speakerOf(stored_case), optionsOf(said, kwargs, stored.date_string), stored_case) };
  }
}

/** The templates are those of the PyPI package `trl`: a set does not repeat them, the fixtures have those that sets use. */
function homeOf(set: string, template: string): string {
  return existsSync(join(set, `chat/templates/${template}.jinja`)) ? set : fileURLToPath(new URL('../fixtures/golden/', import.meta.url));
}

function optionsOf({ messages, tools }: Stored['conversations'][string], kwargs: Case['kwargs'], dateString: string): RenderOptions {
  const { add_generation_prompt: addGenerationPrompt = false, continue_final_message: continueFinalMessage = false, ...variables } = kwargs;
  return {
    messages, ...(tools && { tools }), addGenerationPrompt: addGenerationPrompt === true, continueFinalMessage: continueFinalMessage === true,
    variables: { ...variables, date_string: dateString },
  };
}

function compare({ template, tokenizer }: Speaker, options: RenderOptions, expected: Case): number {
  if (expected.error !== undefined) return refused(() => template.render(options), expected.error);
  const { text, assistant } = template.renderWithSpans(options);
  equal(text, expected.text, 'text');
  equal(template.render(options), text, 'text without spans');
  equal([...tokenizer.encode(text)], expected.ids, 'ids');
  if (expected.assistant_char_spans === undefined) return 0;
  const inCodePoints = codePointsBefore(text);
  const length = inCodePoints(text.length);
  equal(assistant.map(([from, to]) => [inCodePoints(from), inCodePoints(to)]), expected.assistant_char_spans.map(([from, to]) => [from, Math.min(to, length)]), 'spans of the assistant');
  return equal([...assistantMask(tokenizer.encodeWithOffsets(text), assistant)], expected.assistant_mask, 'mask of the assistant');
}

/** Refused like there; with the same words where they are the template's own. */
function refused(render: () => string, error: string): number {
  try {
    render();
  } catch (problem) {
    if (!(problem instanceof ChatTemplateError)) throw problem;
    const raised = /^TemplateError: (.*)$/s.exec(error)?.[1];
    return raised === undefined ? 0 : equal(problem.message.slice(0, raised.length), raised, 'refusal');
  }
  throw new Mismatch(`rendered, but should be refused: ${error}`, Infinity);
}
