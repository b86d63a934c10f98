/**
 * A regular expression of JSON Schema (ECMA-262, RFC 9485 advises the common part) → what stands between the quotes of a JSON string. The whole string matches: that is
 * one way for a part of it to. Pure.
 */
import { textOf, type Regular } from './automaton.ts';
import type { Range } from './ebnf.ts';
import { SchemaError } from './error.ts';

const digits: readonly Range[] = [[0x30, 0x39]];
const word: readonly Range[] = [[0x30, 0x39], [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]];
const space: readonly Range[] = [[0x09, 0x0d], [0x20, 0x20]];
const newlines: readonly Range[] = [[0x0a, 0x0a], [0x0d, 0x0d], [0x2028, 0x2029]];

/** Characters that stand for themselves between JSON's quotes. Surrogates are no characters. */
const plain: readonly Range[] = [[0x20, 0x21], [0x23, 0x5b], [0x5d, 0xd7ff], [0xe000, 0x10ffff]];
/** The others that a pattern may ask for, as JSON writes them. */
const escaped: ReadonlyMap<number, string> = new Map([[0x22, '\\"'], [0x5c, '\\\\'], [0x08, '\\b'], [0x09, '\\t'], [0x0a, '\\n'], [0x0c, '\\f'], [0x0d, '\\r']]);

/** @throws SchemaError for what is not supported: looking around, back-references, boundaries, `\p` */
export function parsePattern(pattern: string): Regular {
  return new Parser(pattern).whole();
}

class Parser {
  readonly #source: string;
  readonly #characters: readonly string[];
  #at = 0;

  constructor(source: string) {
    this.#source = source;
    this.#characters = Array.from(source);
  }

  whole(): Regular {
    const parsed = this.#alternatives(true);
    if (this.#at < this.#characters.length) throw this.#error('an unmatched ")"');
    return parsed;
  }

  #alternatives(isTop: boolean): Regular {
    const parts = [this.#branch(isTop)];
    while (this.#take('|')) parts.push(this.#branch(isTop));
    return { type: 'either', of: parts };
  }

  #branch(isTop: boolean): Regular {
    const parts: Regular[] = [];
    if (isTop) this.#take('^');
    for (let next = this.#next; next !== undefined && next !== '|' && next !== ')'; next = this.#next) {
      const after = this.#characters[this.#at + 1];
      if (isTop && next === '$' && (after === undefined || after === '|')) this.#at++;
      else parts.push(this.#quantified(this.#atom()));
    }
    return { type: 'sequence', parts };
  }

  #atom(): Regular {
    const character = this.#step();
    switch (character) {
      case '(': return this.#group();
      case '[': return json(this.#class(), this);
      case '.': return json(complement(newlines), this);
      case '\\': return this.#escape();
      case '^': case '$': throw this.#error(`"${character}" inside`);
      case '*': case '+': case '?': throw this.#error(`"${character}" after nothing`);
      default: return json(one(codeOf(character)), this);
    }
  }

  #group(): Regular {
    if (this.#take('?')) {
      const kind = this.#step();
      if (kind === '<' && this.#next !== '=' && this.#next !== '!') while (this.#step() !== '>');
      else if (kind !== ':') throw this.#error('a group that looks around');
    }
    const inner = this.#alternatives(false);
    if (!this.#take(')')) throw this.#error('a group without end');
    return inner;
  }

  #quantified(inner: Regular): Regular {
    const bounds = this.#bounds();
    if (bounds === null) return inner;
    this.#take('?'); // lazy: the same texts
    const [min, max] = bounds;
    return { type: 'repeated', inner, min, max };
  }

  #bounds(): readonly [number, number | null] | null {
    if (this.#take('*')) return [0, null];
    if (this.#take('+')) return [1, null];
    if (this.#take('?')) return [0, 1];
    const counted = /^\{(\d+)(?:(,)(\d*))?\}/.exec(this.#characters.slice(this.#at).join(''));
    if (counted === null) return null;
    this.#at += counted[0].length;
    const [, min, comma, max] = counted;
    return [Number(min), comma === undefined ? Number(min) : max === '' ? null : Number(max)];
  }

  #escape(): Regular {
    return json(this.#escapedSet(), this);
  }

  /** What stands after a backslash, in a class or outside. */
  #escapedSet(): readonly Range[] {
    const character = this.#step();
    switch (character) {
      case 'd': return digits;
      case 'D': return complement(digits);
      case 'w': return word;
      case 'W': return complement(word);
      case 's': return space;
      case 'S': return complement(space);
      case 'n': return one(0x0a);
      case 'r': return one(0x0d);
      case 't': return one(0x09);
      case 'f': return one(0x0c);
      case 'v': return one(0x0b);
      case 'x': return one(this.#hex(2));
      case 'u': return one(this.#take('{') ? this.#hexUntilBrace() : this.#hex(4));
      default:
        if (/^[A-Za-z0-9]$/.test(character)) throw this.#error(`"\\${character}"`);
        return one(codeOf(character));
    }
  }

  #hex(length: number): number {
    return this.#codeOfHex(Array.from({ length }, () => this.#step()).join(''));
  }

  #hexUntilBrace(): number {
    let text = '';
    for (let next = this.#step(); next !== '}'; next = this.#step()) text += next;
    return this.#codeOfHex(text);
  }

  #codeOfHex(text: string): number {
    if (!/^[0-9A-Fa-f]{1,6}$/.test(text)) throw this.#error(`"${text}" as a character's number`);
    return Number.parseInt(text, 16);
  }

  #class(): readonly Range[] {
    const isNegated = this.#take('^');
    const ranges: Range[] = [];
    while (!this.#take(']')) {
      const first = this.#classAtom();
      if (this.#next !== '-' || this.#characters[this.#at + 1] === ']') {
        ranges.push(...first);
        continue;
      }
      this.#at++;
      const last = this.#classAtom();
      const [from, to] = [first[0]?.[0] ?? 0, last[0]?.[1] ?? 0];
      if (first.length !== 1 || last.length !== 1 || from > to) throw this.#error('a range whose ends are no characters in order');
      ranges.push([from, to]);
    }
    return isNegated ? complement(ranges) : ranges;
  }

  #classAtom(): readonly Range[] {
    const character = this.#step();
    if (character !== '\\') return one(codeOf(character));
    if (this.#take('b')) return one(0x08);
    return this.#escapedSet();
  }

  get #next(): string | undefined {
    return this.#characters[this.#at];
  }

  #take(character: string): boolean {
    if (this.#next !== character) return false;
    this.#at++;
    return true;
  }

  #step(): string {
    const character = this.#next;
    if (character === undefined) throw this.#error('an end too early');
    this.#at++;
    return character;
  }

  #error(what: string): SchemaError {
    return new SchemaError(`the pattern ${JSON.stringify(this.#source)} has ${what}, which is not supported`);
  }

  /** @throws SchemaError: nothing of the set can be written in a JSON string */
  nothing(): SchemaError {
    return this.#error('characters that cannot be written');
  }
}

/** One character of the set, as it is written between JSON's quotes. */
function json(set: readonly Range[], parser: Parser): Regular {
  const parts: Regular[] = [];
  const ranges = intersection(set, plain);
  if (ranges.length > 0) parts.push({ type: 'set', ranges });
  for (const [code, text] of escaped) if (set.some(([from, to]) => from <= code && code <= to)) parts.push(textOf(text));
  if (parts.length === 0) throw parser.nothing();
  return { type: 'either', of: parts };
}

const codeOf = (character: string): number => character.codePointAt(0) ?? 0;

const one = (code: number): readonly Range[] => [[code, code]];

function complement(ranges: readonly Range[]): readonly Range[] {
  const gaps: Range[] = [];
  let next = 0;
  for (const [from, to] of [...ranges].sort((a, b) => a[0] - b[0])) {
    if (from > next) gaps.push([next, from - 1]);
    next = Math.max(next, to + 1);
  }
  if (next <= 0x10ffff) gaps.push([next, 0x10ffff]);
  return gaps;
}

function intersection(a: readonly Range[], b: readonly Range[]): readonly Range[] {
  return a.flatMap(([from, to]) => b.map(([low, high]): Range => [Math.max(from, low), Math.min(to, high)])).filter(([from, to]) => from <= to);
}
