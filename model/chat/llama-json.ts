/**
 * Tool calls as Llama 3.1 to 3.3 write them: the whole answer is `{"name": "f", "parameters": {…}}`, several joined by `; `
 * (https://www.llama.com/docs/model-cards-and-prompt-formats/llama3_1, *JSON based tool calling*). `<|python_tag|>` before it is a special token, and skipped.
 */
import type { Grammar, Tagged } from '../grammar.ts';
import { heldReader } from './held-calls.ts';
import { jsonCall } from './hermes.ts';
import { endOfNested, skipSpace } from './json-span.ts';
import { argumentsGrammar, looseArguments, type FunctionTool, type SaidAndCalled, type ToolFormat } from './tool-calls.ts';
import { wholeReader } from './whole-calls.ts';

const NAME = '{"name": ';

export const llamaJson: ToolFormat = {
  layoutTokens: [],
  newReader: () => wholeReader((text) => /^\s*(\{|$)/.test(text), parseCalls),
  newHeldReader: (tools) => heldReader(tools.map((tool) => ({ name: tool.name, ...call(tool, argumentsGrammar(tool)) })), NAME, (text) => /^\s*;?\s*$/.test(text)),
  callsGrammar: (tools, onlyOne) => ({ type: 'tags', tags: tools.map((tool) => call(tool, argumentsGrammar(tool))), separator: '; ', onlyOne }),
  textGrammar: (tools) => ({ type: 'text_with_tags', trigger: NAME, tags: tools.map((tool) => call(tool, looseArguments(tool))) }),
};

function call({ name }: FunctionTool, content: Grammar): Tagged {
  return { begin: `${NAME}${JSON.stringify(name)}, "parameters": `, content, end: '}' };
}

function parseCalls(text: string): SaidAndCalled['toolCalls'] | null {
  const calls: SaidAndCalled['toolCalls'][number][] = [];
  for (let at = skipSpace(text, 0); at < text.length;) {
    const end = text[at] === '{' ? endOfNested(text, at) : 'malformed';
    if (typeof end === 'string') return null;
    const json = text.slice(at, end);
    const called = jsonCall(json, 'parameters') ?? jsonCall(json, 'arguments'); // both are seen
    if (called === null) return null;
    calls.push(called);
    at = skipSpace(text, end);
    if (at === text.length) break;
    if (text[at] !== ';') return null;
    at = skipSpace(text, at + 1);
  }
  return calls.length === 0 ? null : calls;
}
