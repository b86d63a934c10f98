/** Chat templates: messages → prompt text. */
import type { Span } from './generation.ts';

export interface ChatMessage {
  readonly role: string;
  readonly content?: unknown;
  readonly tool_calls?: unknown;
  readonly tool_call_id?: string;
  readonly name?: string;
  readonly [key: string]: unknown;
}

export interface RenderOptions {
  readonly messages: readonly ChatMessage[];
  /** OpenAI tool definitions. */
  readonly tools?: readonly unknown[];
  readonly addGenerationPrompt: boolean;
  /** The text ends where the last message ends, so that the model goes on with it. Default false. */
  readonly continueFinalMessage?: boolean;
  /** More template variables (`chat_template_kwargs`). */
  readonly variables?: Readonly<Record<string, unknown>>;
}

export interface ChatTemplate {
  readonly source: string;
  /** Whether the template mentions `tools` at all. */
  readonly usesTools: boolean;
  /** @throws ChatTemplateError with the template's own message where it raises. */
  render(options: RenderOptions): string;
  /** `render`, and what of it the assistant wrote, by the template's own `{% generation %}` blocks; a template without them says nothing of that. */
  renderWithSpans(options: RenderOptions): { readonly text: string; readonly assistant: readonly Span[] };
}

export class ChatTemplateError extends Error {
  /** `invalid_template`: it cannot be parsed. `render_failed`: it refused these messages, or they are not what it can read. */
  readonly code: 'invalid_template' | 'render_failed';
  constructor(code: ChatTemplateError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ChatTemplateError';
    this.code = code;
  }
}
