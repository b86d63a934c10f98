/** `response_format` of a chat request, parsed (https://platform.openai.com/docs/guides/structured-outputs). */
import { invalid, type Fields } from './fields.ts';

export type ResponseFormat =
  | { readonly type: 'text' | 'json_object' }
  | { readonly type: 'json_schema'; readonly schema: Readonly<Record<string, unknown>> };

/** @throws ApiError 400 */
export function parseResponseFormat(body: Fields): ResponseFormat {
  const format = body.object('response_format');
  if (format === undefined) return { type: 'text' };
  const type = format.required('type', format.string('type'));
  if (type === 'text' || type === 'json_object') return { type };
  if (type !== 'json_schema') throw invalid('response_format.type', `response_format.type is "${type}"; it must be "text", "json_object" or "json_schema".`);
  const named = format.required('json_schema', format.object('json_schema'));
  named.string('name');
  named.boolean('strict');
  return { type, schema: named.object('schema')?.json ?? { type: 'object' } };
}
