/** Our grammars in the words of xgrammar's structural tags (https://xgrammar.mlc.ai/docs/tutorials/structural_tag.html). Pure. */
import type { StructuralTagFormat, TagFormat } from '@mlc-ai/web-xgrammar';
import type { Grammar, Tagged } from '../../model/grammar.ts';
import { jsonGrammar } from './json/schema.ts';

/** @throws SchemaError */
export function structuralTag(grammar: Grammar): StructuralTagFormat {
  switch (grammar.type) {
    case 'json': return { type: 'grammar', grammar: jsonGrammar(grammar.schema, grammar.root) };
    case 'literal': return grammar.text === '' ? { type: 'grammar', grammar: 'root ::= ""' } : { type: 'const_string', value: grammar.text };
    case 'any': return { type: 'any_text' };
    case 'sequence': return { type: 'sequence', elements: grammar.parts.map(structuralTag) };
    case 'either': return { type: 'or', elements: grammar.of.map(structuralTag) };
    case 'tagged': return tag(grammar);
    // Its own way to say one (`stop_after_first`) is not taken beside what ends.
    case 'tags': return grammar.onlyOne
      ? { type: 'or', elements: grammar.tags.map(tag) }
      : { type: 'tags_with_separator', tags: grammar.tags.map(tag), separator: grammar.separator, at_least_one: true };
    default: return { type: 'triggered_tags', triggers: [grammar.trigger], tags: grammar.tags.map(tag) };
  }
}

function tag({ begin, content, end }: Tagged): TagFormat {
  return { type: 'tag', begin, content: structuralTag(content), end };
}
