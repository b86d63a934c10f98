/** Chat templates as transformers renders them (`chat_template_utils.render_jinja_template`): trim_blocks, lstrip_blocks, `tojson` without escapes. */
import type { TemplateSources } from './choose.ts';
import { cutAtTag, tagFinalMessage } from './continue.ts';
import { generationVariables, readMarks } from './generation.ts';
import { PYTHON_FUNCTIONS, parseTemplate } from './python.ts';
import { ChatTemplateError, type ChatTemplate, type RenderOptions } from './template.ts';

export interface SpecialTokens {
  readonly bosToken: string | null;
  readonly eosToken: string | null;
}

/**
 * @param special what the template sees as `bos_token` and `eos_token`
 * @throws ChatTemplateError `invalid_template`
 */
export function createChatTemplate({ plain, withTools }: TemplateSources, special: SpecialTokens): ChatTemplate {
  const template = parseOrExplain(plain);
  const toolTemplate = withTools === undefined ? template : parseOrExplain(withTools);
  const named: Record<string, unknown> = {};
  if (special.bosToken !== null) named['bos_token'] = special.bosToken;
  if (special.eosToken !== null) named['eos_token'] = special.eosToken;
  /** With marks around what the assistant wrote, if asked for. */
  const renderMarked = (options: RenderOptions, isMarked: boolean): string => {
    const variables = {
      ...named,
      ...PYTHON_FUNCTIONS,
      ...generationVariables(isMarked),
      ...options.variables,
      messages: options.continueFinalMessage === true ? tagFinalMessage(options.messages) : options.messages,
      tools: options.tools ?? null,
      documents: null,
      add_generation_prompt: options.addGenerationPrompt,
    };
    const text = renderOrExplain(() => (options.tools?.length ? toolTemplate : template).render(variables));
    refuseJoinedObject(text, options);
    return text;
  };
  const end = (text: string, { continueFinalMessage = false }: RenderOptions): string => (continueFinalMessage ? cutAtTag(text) : text);

  return {
    source: plain,
    usesTools: /\btools\b/.test(withTools ?? plain),
    render: (options) => end(renderMarked(options, false), options),
    renderWithSpans(options) {
      const whole = renderMarked(options, false);
      const marked = readMarks(renderMarked(options, true));
      if (marked.text !== whole) throw new ChatTemplateError('render_failed', 'The chat template changes the text of its {% generation %} blocks afterwards, so they cannot be told from the rest.');
      const text = end(whole, options);
      return { text, assistant: marked.spans.map(([from, to]) => [Math.min(from, text.length), Math.min(to, text.length)] as const) };
    },
  };
}

/** Of a model that has none: base models, mostly. */
export const noChatTemplate: ChatTemplate = {
  source: '',
  usesTools: false,
  render: refuse,
  renderWithSpans: refuse,
};

function refuse(): never {
  throw new ChatTemplateError('render_failed', 'This model has no chat template, so it cannot read messages; configure one with chatTemplate.');
}

function parseOrExplain(source: string): ReturnType<typeof parseTemplate> {
  try {
    return parseTemplate(source);
  } catch (error) {
    throw new ChatTemplateError('invalid_template', `The chat template cannot be parsed: ${messageOf(error)}`, { cause: error });
  }
}

function renderOrExplain(render: () => string): string {
  try {
    return render();
  } catch (error) {
    throw new ChatTemplateError('render_failed', messageOf(error), { cause: error });
  }
}

/** `'text' + object` is a TypeError in Python; here it would put `[object Map]` into the prompt. */
function refuseJoinedObject(text: string, options: RenderOptions): void {
  const trace = '[object Map]';
  if (text.includes(trace) && !JSON.stringify([options.messages, options.tools]).includes(trace)) {
    throw new ChatTemplateError('render_failed', 'The chat template joins text with an object: it expects tool call arguments, or message content, as a string.');
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
