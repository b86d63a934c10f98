/** Python literals → JSON: what stands for an argument in `f(a=[1, None], b='x')`. */
import { skipSpace } from './json-span.ts';

/** A value and where the text goes on after it; null where there is none. */
export type Read = { readonly json: string; readonly end: number } | null;

const words: ReadonlyMap<string, string> = new Map([['True', 'true'], ['False', 'false'], ['None', 'null'], ['true', 'true'], ['false', 'false'], ['null', 'null']]);
const escapes: ReadonlyMap<string, string> = new Map([['n', '\n'], ['t', '\t'], ['r', '\r'], ['b', '\b'], ['f', '\f'], ['v', '\v'], ['a', '\u0007'], ['0', '\0'], ['\\', '\\'], ['\'', '\''], ['"', '"'], ['/', '/']]);

/** @param at where the value begins */
export function readLiteral(text: string, at: number): Read {
  const first = text[at];
  if (first === '"' || first === '\'') return readString(text, at);
  if (first === '[' || first === '(') return readItems(text, at, first === '[' ? ']' : ')');
  if (first === '{') return readDict(text, at);
  const token = /^[A-Za-z]+|^-?\d[\d_]*(?:\.\d*)?(?:[eE][+-]?\d+)?/.exec(text.slice(at))?.[0];
  if (token === undefined) return null;
  const word = words.get(token);
  const number = Number(token.replaceAll('_', ''));
  if (word === undefined && !Number.isFinite(number)) return null;
  return { json: word ?? String(number), end: at + token.length };
}

function readString(text: string, start: number): Read {
  const quote = text[start];
  let value = '';
  for (let at = start + 1; at < text.length; at++) {
    const character = text[at] ?? '';
    if (character === quote) return { json: JSON.stringify(value), end: at + 1 };
    if (character !== '\\') {
      value += character;
      continue;
    }
    at++;
    const kind = text[at] ?? '';
    const digits = { x: 2, u: 4, U: 8 }[kind];
    if (digits === undefined) {
      value += escapes.get(kind) ?? `\\${kind}`;
      continue;
    }
    const hex = text.slice(at + 1, at + 1 + digits);
    const code = /^[0-9A-Fa-f]+$/.test(hex) && hex.length === digits ? Number.parseInt(hex, 16) : NaN;
    if (!(code <= 0x10ffff)) return null;
    value += String.fromCodePoint(code);
    at += digits;
  }
  return null;
}

function readItems(text: string, start: number, close: string): Read {
  const items: string[] = [];
  for (let at = skipSpace(text, start + 1); ; at = skipSpace(text, at + 1)) {
    if (text[at] === close) return { json: `[${items.join(', ')}]`, end: at + 1 };
    const item = readLiteral(text, at);
    if (item === null) return null;
    items.push(item.json);
    at = skipSpace(text, item.end);
    if (text[at] === close) return { json: `[${items.join(', ')}]`, end: at + 1 };
    if (text[at] !== ',') return null;
  }
}

function readDict(text: string, start: number): Read {
  const members: string[] = [];
  for (let at = skipSpace(text, start + 1); ; at = skipSpace(text, at + 1)) {
    if (text[at] === '}') return { json: `{${members.join(', ')}}`, end: at + 1 };
    const key = text[at] === '"' || text[at] === '\'' ? readString(text, at) : null;
    const colon = key === null ? 0 : skipSpace(text, key.end);
    if (key === null || text[colon] !== ':') return null;
    const value = readLiteral(text, skipSpace(text, colon + 1));
    if (value === null) return null;
    members.push(`${key.json}: ${value.json}`);
    at = skipSpace(text, value.end);
    if (text[at] === '}') return { json: `{${members.join(', ')}}`, end: at + 1 };
    if (text[at] !== ',') return null;
  }
}
