/** Words of xgrammar's EBNF (https://xgrammar.mlc.ai/docs/tutorials/ebnf_grammar.html). Pure. */

/** Inclusive range of code points. */
export type Range = readonly [from: number, to: number];

/** Exactly this text. */
export function literal(text: string): string {
  return text === '' ? '""' : `"${Array.from(text, (character) => written(character.codePointAt(0) ?? 0)).join('')}"`;
}

/** Non-ASCII characters of a set are written one by one up to so many; a larger part of them is left out. */
const MAX_LITERALS = 256;

/**
 * One character of the set, or null where there is none. xgrammar 0.1.27 misreads ranges beyond ASCII (they match single bytes), but `[^…]` with ASCII inside
 * takes every other character: so it is all of the others, or a list.
 */
export function characters(ranges: readonly Range[]): string | null {
  const parts: string[] = [];
  const ascii = ranges.filter(([from]) => from < 0x80).map(([from, to]): Range => [from, Math.min(to, 0x7f)]);
  if (ascii.length > 0) parts.push(`[${ascii.map(([from, to]) => (from === to ? written(from) : `${written(from)}-${written(to)}`)).join('')}]`);
  const others = ranges.filter(([, to]) => to >= 0x80).map(([from, to]): Range => [Math.max(from, 0x80), to]);
  const size = others.reduce((sum, [from, to]) => sum + to - from + 1, 0);
  if (size === EVERY_OTHER) parts.push('[^\\x00-\\x7f]');
  else if (size <= MAX_LITERALS) parts.push(...others.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, i) => literal(String.fromCodePoint(from + i)))));
  return parts.length === 0 ? null : either(parts);
}

/** Characters beyond ASCII: all code points but surrogates. */
const EVERY_OTHER = 0x110000 - 0x80 - 0x800;

/** Between `min` and `max` times; null: without bound. */
export function repeated(expression: string, min: number, max: number | null): string {
  if (max === 0) return '""';
  if (min === 1 && max === 1) return expression;
  const times = min === 0 && max === null ? '*' : min === 0 && max === 1 ? '?' : max === null ? `{${min},}` : `{${min},${max}}`;
  return `(${expression})${times}`;
}

export const sequence = (...parts: readonly string[]): string => parts.filter((part) => part !== '' && part !== '""').join(' ') || '""';

export const either = (parts: readonly string[]): string => (parts.length === 1 ? parts[0] ?? '""' : `(${parts.join(' | ')})`);

/** Letters and digits stand for themselves, everything else is written by its number, so that nothing needs to be known about quoting. */
function written(code: number): string {
  const character = String.fromCodePoint(code);
  if (/^[A-Za-z0-9 _:,{}.]$/.test(character)) return character;
  const hex = code.toString(16);
  return code <= 0xffff ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`;
}
