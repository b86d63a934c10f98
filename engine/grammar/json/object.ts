/** Objects and arrays as EBNF. Members come in the order in which the schema names them. Pure. */
import { characters, either, literal, repeated, sequence, type Range } from './ebnf.ts';
import type { Rules } from './rules.ts';

export interface Member {
  readonly name: string;
  /** Rule of its value. */
  readonly value: string;
  readonly isRequired: boolean;
}

/** Members that the schema does not name: rules of their keys and values. */
export interface OtherMembers {
  readonly key: string;
  readonly value: string;
  readonly max: number | null;
}

const member = (key: string, value: string): string => sequence(key, 'ws', '":"', 'ws', value);
const separated = (item: string): string => sequence('ws', '","', 'ws', item);

/**
 * `rest` of a member on is what may follow when something was written before it; `first`, when nothing was. So commas stand between
 * members whichever optional ones are left out.
 */
export function objectGrammar(members: readonly Member[], others: OtherMembers | null, rules: Rules): string {
  const other = others === null ? null : member(others.key, others.value);
  const more = (count: number | null): string => (other === null ? '""' : repeated(separated(other), 0, count));
  let rest = rules.add('rest', more(others?.max ?? null));
  let first = other === null ? '""' : repeated(sequence(other, more(others?.max == null ? null : others.max - 1)), 0, 1);
  for (const { name, value, isRequired } of members.toReversed()) {
    const written = rules.add('member', member(literal(JSON.stringify(name)), value));
    first = either(isRequired ? [sequence(written, rest)] : [sequence(written, rest), first]);
    rest = rules.add('rest', sequence(repeated(separated(written), isRequired ? 1 : 0, 1), rest));
    first = rules.add('first', first);
  }
  return sequence('"{"', 'ws', first, 'ws', '"}"');
}

/** @param fixed rules of the first items, all of them there @param more rule of the others, null where there may be none */
export function arrayGrammar(fixed: readonly string[], more: string | null, min: number, max: number | null): string {
  const begin = fixed.map((item, index) => (index === 0 ? item : separated(item)));
  const left = { min: Math.max(min - fixed.length, 0), max: max === null ? null : max - fixed.length };
  const items = more === null ? sequence(...begin)
    : fixed.length > 0 ? sequence(...begin, repeated(separated(more), left.min, left.max))
    : repeated(sequence(more, repeated(separated(more), Math.max(left.min - 1, 0), left.max === null ? null : Math.max(left.max - 1, 0))), left.min > 0 ? 1 : 0, left.max === 0 ? 0 : 1);
  return sequence('"["', 'ws', items, 'ws', '"]"');
}

interface Names {
  readonly next: Map<string, Names>;
  isName: boolean;
}

/** A key that is none of these names: where it leaves their tree, anything may follow. Written without escapes. */
export function keyExcept(names: readonly string[], rules: Rules): string {
  const tree: Names = { next: new Map(), isName: false };
  for (const name of names) {
    let at = tree;
    for (const character of name) {
      const next = at.next.get(character) ?? { next: new Map<string, Names>(), isName: false };
      at.next.set(character, next);
      at = next;
    }
    at.isName = true;
  }
  const after = ({ next, isName }: Names): string => rules.add('key', either([
    ...(isName ? [] : ['""']),
    sequence(otherCharacter([...next.keys()]), 'keychar*'),
    ...Array.from(next, ([character, inner]) => sequence(literal(JSON.stringify(character).slice(1, -1)), after(inner))),
  ]));
  return sequence('"\\""', after(tree), '"\\""');
}

function otherCharacter(taken: readonly string[]): string {
  const codes = [0x22, 0x5c, ...taken.map((character) => character.codePointAt(0) ?? 0)].sort((a, b) => a - b);
  const ranges: Range[] = [];
  let from = 0x20;
  for (const code of codes) {
    if (code > from) ranges.push([from, code - 1]);
    from = Math.max(from, code + 1);
  }
  const ascii = ranges.filter(([, to]) => to < 0x80);
  // With a name that begins beyond ASCII, no other key does.
  return characters(from < 0x80 ? [...ranges, [from, 0xd7ff], [0xe000, 0x10ffff]] : ascii) ?? '""';
}
