/**
 * Our grammars in llama.cpp's GBNF (grammars/README.md there), which xgrammar reads too. Pure. Free text up to a tag is not among them: a grammar without a
 * lexer would take the tag for more of the text.
 */
import { jsonGrammar } from '../../../engine/grammar/json/schema.ts';
import type { Grammar, Tagged } from '../../../model/grammar.ts';

/** Whether `gbnf` takes a grammar. */
export function isContextFree(grammar: Grammar): boolean {
  switch (grammar.type) {
    case 'any': case 'text_with_tags': return false;
    case 'sequence': return grammar.parts.every(isContextFree);
    case 'either': return grammar.of.every(isContextFree);
    case 'tagged': return isContextFree(grammar.content);
    case 'tags': return grammar.tags.every(({ content }) => isContextFree(content));
    default: return true;
  }
}

/** @throws SchemaError where a schema cannot be held to; RangeError where `isContextFree` does not hold */
export function gbnf(grammar: Grammar): string {
  const rules: string[] = [];
  const root = expression(grammar, rules);
  return [`root ::= ${root}`, ...rules].join('\n');
}

/** @param rules grows by the rules that the expression names */
function expression(grammar: Grammar, rules: string[]): string {
  const of = (part: Grammar): string => expression(part, rules);
  const tagged = ({ begin, content, end }: Tagged): string => `(${literal(begin)} ${of(content)} ${literal(end)})`;
  switch (grammar.type) {
    case 'json': return jsonRule(jsonGrammar(grammar.schema, grammar.root), rules);
    case 'literal': return literal(grammar.text);
    case 'sequence': return `(${grammar.parts.map(of).join(' ')})`;
    case 'either': return `(${grammar.of.map(of).join(' | ')})`;
    case 'tagged': return tagged(grammar);
    case 'tags': {
      const one = `(${grammar.tags.map(tagged).join(' | ')})`;
      if (grammar.onlyOne) return one;
      const rule = `tag${rules.length}`;
      rules.push(`${rule} ::= ${one}`);
      return `(${rule} (${literal(grammar.separator)} ${rule})*)`;
    }
    default: throw new RangeError(`a grammar of type "${grammar.type}" has no GBNF`);
  }
}

const literal = (text: string): string => `"${text.replaceAll(/[\\"]/g, '\\$&').replaceAll('\n', '\\n').replaceAll('\r', '\\r').replaceAll('\t', '\\t')}"`;

/** A quoted text or a set of characters as they stand, or a rule's name. */
const words = /"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|([A-Za-z]\w*)/g;

/** Takes in the rules of a whole grammar under names of their own; GBNF's names have no underscores. @returns its root's name */
function jsonRule(ebnf: string, rules: string[]): string {
  const prefix = `json${rules.length}-`;
  rules.push(ebnf.replaceAll(words, (word: string, name: string | undefined) => (name === undefined ? word : prefix + name.replaceAll('_', '-'))));
  return `${prefix}root`;
}
