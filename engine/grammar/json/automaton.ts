/**
 * Regular languages → deterministic EBNF rules: in each rule no two alternatives begin with the same character. (xgrammar 0.1.27 merges states of other
 * rules wrongly and then accepts more than the grammar says: mlc-ai/xgrammar #618, #911.) Pure.
 */
import { characters, either, literal, sequence, type Range } from './ebnf.ts';
import { SchemaError } from './error.ts';
import type { Rules } from './rules.ts';

/** A regular expression's tree. */
export type Regular =
  | { readonly type: 'set'; readonly ranges: readonly Range[] }
  | { readonly type: 'sequence'; readonly parts: readonly Regular[] }
  | { readonly type: 'either'; readonly of: readonly Regular[] }
  /** `max` null: without bound. */
  | { readonly type: 'repeated'; readonly inner: Regular; readonly min: number; readonly max: number | null };

const MAX_STATES = 4000;

export const textOf = (text: string): Regular =>
  ({ type: 'sequence', parts: Array.from(text, (character) => ({ type: 'set', ranges: [[character.codePointAt(0) ?? 0, character.codePointAt(0) ?? 0]] as const })) });

interface NfaState {
  readonly free: number[];
  readonly edges: { readonly range: Range; readonly to: number }[];
}

/** Thompson's construction: from state 0 to the last one. */
class Nfa {
  readonly states: NfaState[] = [];

  constructor(regular: Regular) {
    const start = this.#add();
    const end = this.#build(regular, start);
    if (end !== this.states.length - 1) this.states[end]?.free.push(this.#add());
  }

  #add(): number {
    if (this.states.length >= MAX_STATES * 4) throw tooLarge;
    return this.states.push({ free: [], edges: [] }) - 1;
  }

  #link(from: number, to: number): void {
    this.states[from]?.free.push(to);
  }

  /** @returns where it ends */
  #build(regular: Regular, from: number): number {
    switch (regular.type) {
      case 'set': {
        const to = this.#add();
        for (const range of regular.ranges) this.states[from]?.edges.push({ range, to });
        return to;
      }
      case 'sequence': return regular.parts.reduce((at, part) => this.#build(part, at), from);
      case 'either': {
        const ends = regular.of.map((part) => {
          const start = this.#add();
          this.#link(from, start);
          return this.#build(part, start);
        });
        const to = this.#add();
        for (const end of ends) this.#link(end, to);
        return to;
      }
      default: return this.#repeat(regular, from);
    }
  }

  #repeat({ inner, min, max }: Regular & { type: 'repeated' }, from: number): number {
    let at = from;
    for (let i = 0; i < min; i++) at = this.#build(inner, at);
    if (max === null) {
      const loop = this.#add();
      this.#link(at, loop);
      this.#link(this.#build(inner, loop), loop);
      const to = this.#add();
      this.#link(loop, to);
      return to;
    }
    const ends = [at];
    for (let i = min; i < max; i++) ends.push(at = this.#build(inner, at));
    const to = this.#add();
    for (const end of ends) this.#link(end, to);
    return to;
  }
}

const tooLarge = new SchemaError('the pattern is too large');

interface DfaState {
  readonly isEnd: boolean;
  /** By the state that follows: disjoint ranges, in order. */
  readonly next: Map<number, Range[]>;
}

/** Subset construction. State 0 is the first. */
function determinize(nfa: Nfa): DfaState[] {
  const last = nfa.states.length - 1;
  const indexOf = new Map<string, number>();
  const sets: number[][] = [];
  const states: DfaState[] = [];
  const enter = (seeds: readonly number[]): number => {
    const set = [...closure(nfa, seeds)].sort((a, b) => a - b);
    const key = set.join(' ');
    const known = indexOf.get(key);
    if (known !== undefined) return known;
    if (sets.length >= MAX_STATES) throw tooLarge;
    indexOf.set(key, sets.length);
    return sets.push(set) - 1;
  };
  enter([0]);
  for (let at = 0; at < sets.length; at++) {
    const set = sets[at] ?? [];
    const edges = set.flatMap((state) => nfa.states[state]?.edges ?? []);
    const cuts = [...new Set(edges.flatMap(({ range: [from, to] }) => [from, to + 1]))].sort((a, b) => a - b);
    const next = new Map<number, Range[]>();
    for (const [i, from] of cuts.entries()) {
      const targets = edges.filter(({ range }) => range[0] <= from && from <= range[1]).map(({ to }) => to);
      if (targets.length === 0) continue;
      const to = enter(targets);
      const ranges = next.get(to) ?? [];
      ranges.push([from, (cuts[i + 1] ?? from + 1) - 1]);
      next.set(to, ranges);
    }
    states.push({ isEnd: set.includes(last), next });
  }
  return states;
}

function closure(nfa: Nfa, seeds: readonly number[]): Set<number> {
  const reached = new Set(seeds);
  for (const state of reached) for (const to of nfa.states[state]?.free ?? []) reached.add(to); // a set grows while it is walked
  return reached;
}

/** The expression's rule. @throws SchemaError where the pattern is too large */
export function regularGrammar(regular: Regular, grammar: Rules): string {
  const states = determinize(new Nfa(regular));
  const rules = new Map<number, string>();
  const expressionOf = (at: number): string => {
    const { isEnd, next } = states[at] ?? { isEnd: false, next: new Map<number, Range[]>() };
    const parts = Array.from(next, ([to, ranges]) => {
      const [[from, until] = [0, 1]] = ranges;
      if (ranges.length === 1 && from === until) return chain(String.fromCodePoint(from), to);
      const one = characters(ranges);
      return one === null ? null : sequence(one, ruleOf(to));
    });
    return either([...(isEnd ? ['""'] : []), ...parts.filter((part) => part !== null)]);
  };
  /** States that only one character leaves are written as text. */
  const chain = (text: string, at: number): string => {
    const state = states[at];
    const [[to, [[from, until] = [0, 1], ...more]] = [0, []]] = state?.next ?? [];
    const goesOn = state !== undefined && !state.isEnd && state.next.size === 1 && more.length === 0 && from === until && to !== at;
    if (goesOn) return chain(text + String.fromCodePoint(from), to);
    return state?.isEnd === true && state.next.size === 0 ? literal(text) : sequence(literal(text), ruleOf(at));
  };
  const ruleOf = (at: number): string => {
    const state = states[at];
    if (state?.isEnd === true && state.next.size === 0) return '""';
    const known = rules.get(at);
    if (known !== undefined) return known;
    const rule = grammar.later('state');
    rules.set(at, rule.name);
    rule.complete(expressionOf(at));
    return rule.name;
  };
  return ruleOf(0);
}
