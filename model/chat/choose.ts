/** The chat template in `tokenizer_config.json`: one string, or a list of named ones (Command R, Hermes 2: `default`, `tool_use`, `rag`). */
import { z } from 'zod';
import { ModelError } from '../error.ts';

/** A template's source, and the one to use instead when there are tools. */
export interface TemplateSources {
  readonly plain: string;
  readonly withTools?: string;
}

const schema = z.looseObject({
  chat_template: z.union([z.string(), z.array(z.object({ name: z.string(), template: z.string() })).min(1)]).nullish(),
});

/** Null where there is none. @throws ModelError `invalid_config` */
export function hubTemplate(tokenizerConfig: unknown, source: string): TemplateSources | null {
  const parsed = schema.safeParse(tokenizerConfig);
  if (!parsed.success) throw new ModelError('invalid_config', `${source}: chat_template is neither text nor a list of {name, template}.`);
  const { chat_template: template } = parsed.data;
  if (template === null || template === undefined) return null;
  if (typeof template === 'string') return { plain: template };
  const named = (name: string): string | undefined => template.find((entry) => entry.name === name)?.template;
  const plain = named('default');
  if (plain === undefined) throw new ModelError('invalid_config', `${source}: none of its chat templates is named "default".`);
  const withTools = named('tool_use');
  return withTools === undefined ? { plain } : { plain, withTools };
}
