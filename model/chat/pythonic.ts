/**
 * Tool calls as Llama 3.2 and 4 write them: the whole answer is `[f(a=1, b="x"), g()]`
 * (https://www.llama.com/docs/model-cards-and-prompt-formats/llama3_2, *function definitions*).
 */
import type { Grammar, JsonSchema } from '../grammar.ts';
import { skipSpace } from './json-span.ts';
import { readLiteral } from './python-literal.ts';
import type { FunctionTool, SaidAndCalled, ToolFormat } from './tool-calls.ts';
import { wholeReader } from './whole-calls.ts';

export const pythonic: ToolFormat = {
  layoutTokens: [],
  newReader: () => wholeReader((text) => /^\s*(\[\s*(([A-Za-z_][\w.]*)?$|[A-Za-z_][\w.]*\s*(\(|$))|$)/.test(text), parseCalls),
  // One call even where more are allowed: a list between brackets cannot be said in the library's tags.
  callsGrammar: (tools) => ({ type: 'either', of: tools.map((tool) => ({ type: 'tagged', begin: `[${tool.name}(`, content: keywords(tool), end: ')]' })) }),
  textGrammar: () => null,
};

const literal = (text: string): Grammar => ({ type: 'literal', text });

/** Keyword arguments: those that are required, then whichever of the others. */
function keywords({ parameters }: FunctionTool): Grammar {
  const { properties = {}, required = [] } = (typeof parameters === 'object' ? parameters : {}) as { properties?: Readonly<Record<string, JsonSchema>>; required?: readonly string[] }; // the schema's own check refuses others
  const argument = (name: string): Grammar => ({ type: 'sequence', parts: [literal(`${name}=`), { type: 'json', schema: properties[name] ?? true, root: parameters }] });
  const after = (comma: string, name: string): Grammar => ({ type: 'sequence', parts: [literal(comma), argument(name)] });
  const optional = Object.keys(properties).filter((name) => !required.includes(name));
  const rest = (from: number): Grammar[] => optional.slice(from).map((name): Grammar => ({ type: 'either', of: [after(', ', name), literal('')] }));
  if (required.length > 0) return { type: 'sequence', parts: [...required.map((name, index) => after(index === 0 ? '' : ', ', name)), ...rest(0)] };
  return { type: 'either', of: [...optional.map((name, index): Grammar => ({ type: 'sequence', parts: [argument(name), ...rest(index + 1)] })), literal('')] };
}

function parseCalls(text: string): SaidAndCalled['toolCalls'] | null {
  const calls: SaidAndCalled['toolCalls'][number][] = [];
  let at = skipSpace(text, 0);
  if (text[at] !== '[') return null;
  for (at = skipSpace(text, at + 1); ; at = skipSpace(text, at + 1)) {
    const name = /^[A-Za-z_][\w.]*/.exec(text.slice(at))?.[0];
    const open = name === undefined ? 0 : skipSpace(text, at + name.length);
    if (name === undefined || text[open] !== '(') return null;
    const called = readKeywords(text, open + 1);
    if (called === null) return null;
    calls.push({ name, argumentsJson: called.json });
    at = skipSpace(text, called.end);
    if (text[at] === ']') break;
    if (text[at] !== ',') return null;
  }
  return skipSpace(text, at + 1) === text.length ? calls : null;
}

/** From after the bracket to after the closing one. */
function readKeywords(text: string, start: number): ReturnType<typeof readLiteral> {
  const members: string[] = [];
  for (let at = skipSpace(text, start); ; at = skipSpace(text, at + 1)) {
    if (text[at] === ')') return { json: `{${members.join(', ')}}`, end: at + 1 };
    const name = /^[A-Za-z_]\w*/.exec(text.slice(at))?.[0];
    const equals = name === undefined ? 0 : skipSpace(text, at + name.length);
    if (name === undefined || text[equals] !== '=') return null;
    const value = readLiteral(text, skipSpace(text, equals + 1));
    if (value === null) return null;
    members.push(`${JSON.stringify(name)}: ${value.json}`);
    at = skipSpace(text, value.end);
    if (text[at] === ')') return { json: `{${members.join(', ')}}`, end: at + 1 };
    if (text[at] !== ',') return null;
  }
}
