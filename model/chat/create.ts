/** Chat templates as transformers renders them (`chat_template_utils.render_jinja_template`): trim_blocks, lstrip_blocks, `tojson` without escapes. */
import type { TemplateSources } from './choose.ts';
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
  return {
    source: plain,
    usesTools: /\btools\b/.test(withTools ?? plain),
    render(options) {
      const variables = {
        ...named,
        ...PYTHON_FUNCTIONS,
        ...options.variables,
        messages: options.messages,
        tools: options.tools ?? null,
        documents: null,
        add_generation_prompt: options.addGenerationPrompt,
      };
      const text = renderOrExplain(() => (options.tools?.length ? toolTemplate : template).render(variables));
      refuseJoinedObject(text, options);
      return text;
    },
  };
}

/** Of a model that has none: base models, mostly. */
export const noChatTemplate: ChatTemplate = {
  source: '',
  usesTools: false,
  render() {
    throw new ChatTemplateError('render_failed', 'This model has no chat template, so it cannot read messages; configure one with chatTemplate.');
  },
};

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
