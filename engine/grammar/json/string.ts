/** Strings as EBNF, quotes included. Pure. */
import { regularGrammar, textOf } from './automaton.ts';
import { repeated, sequence } from './ebnf.ts';
import { SchemaError } from './error.ts';
import type { SchemaObject } from './keywords.ts';
import { parsePattern } from './pattern.ts';
import type { Rules } from './rules.ts';

const hex = '[0-9A-Fa-f]';
const year = '[0-9]{4}', month = '(0[1-9]|1[0-2])', day = '(0[1-9]|1[0-9]|2[0-8])'; // every month has them
const time = '([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])';
const octet = '(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])';
const label = '[A-Za-z0-9]([A-Za-z0-9-]{0,20}[A-Za-z0-9])?';

/** The formats of OpenAI's structured outputs, and `uri`; others say nothing about what is valid (JSON Schema 2020-12, validation, section 7.2.1). */
const formats: ReadonlyMap<string, string> = new Map([
  ['date', `${year}-${month}-${day}`],
  ['time', time],
  ['date-time', `${year}-${month}-${day}T${time}`],
  ['duration', 'P([0-9]{1,4}D(T([0-9]{1,4}H)?([0-9]{1,4}M)?[0-9]{1,4}S)?|[0-9]{1,4}W|T([0-9]{1,4}H)?([0-9]{1,4}M)?[0-9]{1,4}S)'],
  ['email', `[A-Za-z0-9_+-]{1,32}(\\.[A-Za-z0-9_+-]{1,32}){0,3}@${label}(\\.${label}){1,3}`],
  ['hostname', `${label}(\\.${label}){0,3}`],
  ['ipv4', `${octet}(\\.${octet}){3}`],
  ['ipv6', `${hex}{1,4}(:${hex}{1,4}){7}`],
  ['uuid', `${hex}{8}-${hex}{4}-${hex}{4}-${hex}{4}-${hex}{12}`],
  ['uri', `https?://${label}(\\.${label}){0,3}(:[0-9]{1,4})?(/[A-Za-z0-9._~-]{1,40}){0,8}/?(\\?[A-Za-z0-9._~=&-]{1,60})?`],
]);

/** @throws SchemaError */
export function stringGrammar({ pattern, format, minLength, maxLength }: SchemaObject, rules: Rules): string {
  const form = typeof format === 'string' ? formats.get(format) : undefined;
  const isBounded = minLength !== undefined || maxLength !== undefined;
  if (pattern !== undefined && typeof pattern !== 'string') throw new SchemaError('"pattern" must be a string');
  if (pattern !== undefined && isBounded) throw new SchemaError('a length beside "pattern" is not supported: say it in the pattern');
  if (pattern !== undefined && form !== undefined) throw new SchemaError('"pattern" beside "format" is not supported');
  if (form !== undefined && isBounded) throw new SchemaError('a length beside "format" is not supported');
  const inside = pattern ?? form;
  if (inside !== undefined) return sequence('"\\""', regularGrammar(parsePattern(inside), rules), '"\\""');
  return isBounded ? sequence('"\\""', repeated('char', bound('minLength', minLength) ?? 0, bound('maxLength', maxLength)), '"\\""') : 'string';
}

/** A whole number from 0 on; null where the word is missing. @throws SchemaError */
export function bound(name: string, value: unknown): number | null {
  if (value === undefined) return null;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new SchemaError(`"${name}" must be a whole number from 0 on`);
}

export const oneOfTexts = (values: readonly unknown[], rules: Rules): string =>
  regularGrammar({ type: 'either', of: values.map((value) => textOf(JSON.stringify(value))) }, rules);
