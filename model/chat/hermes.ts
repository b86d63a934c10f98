/**
 * Tool calls as Hermes, Qwen 2.5 and 3 and other ChatML models write them (NousResearch Hermes function calling):
 * `<tool_call>{"name": "f", "arguments": {…}}</tool_call>`, whitespace allowed around the object.
 */
import type { Grammar, Tagged } from '../grammar.ts';
import { heldReader } from './held-calls.ts';
import { endOfNested, memberSpans, skipSpace } from './json-span.ts';
import { taggedReader, type TaggedCall } from './tagged-calls.ts';
import { argumentsGrammar, looseArguments, readToolCalls, type FunctionTool, type SaidAndCalled, type ToolCallReader, type ToolFormat } from './tool-calls.ts';

const OPEN = '<tool_call>';
const CLOSE = '</tool_call>';

export const hermes: ToolFormat = {
  layoutTokens: [OPEN, CLOSE],
  newReader: hermesReader,
  newHeldReader: (tools) => heldReader(tools.map((tool) => ({ name: tool.name, ...call(tool, argumentsGrammar(tool)) })), OPEN, (text) => text.trim() === ''),
  callsGrammar: (tools, onlyOne) => ({ type: 'tags', tags: tools.map((tool) => call(tool, argumentsGrammar(tool))), separator: '\n', onlyOne }),
  textGrammar: (tools) => ({ type: 'text_with_tags', trigger: OPEN, tags: tools.map((tool) => call(tool, looseArguments(tool))) }),
};

/** As the chat templates of these models write a call. */
function call({ name }: FunctionTool, content: Grammar): Tagged {
  return { begin: `${OPEN}\n{"name": ${JSON.stringify(name)}, "arguments": `, content, end: `}\n${CLOSE}` };
}

export function hermesReader(): ToolCallReader {
  return taggedReader(OPEN, readCall);
}

export function parseHermes(text: string): SaidAndCalled {
  return readToolCalls(hermesReader(), text);
}

function readCall(text: string): TaggedCall | 'incomplete' | 'malformed' {
  const start = skipSpace(text, OPEN.length);
  if (start === text.length) return 'incomplete';
  if (text[start] !== '{') return 'malformed';
  const end = endOfNested(text, start);
  if (typeof end === 'string') return end;
  const closing = skipSpace(text, end);
  const rest = text.slice(closing, closing + CLOSE.length);
  if (!CLOSE.startsWith(rest)) return 'malformed';
  const called = jsonCall(text.slice(start, end), 'arguments');
  if (called === null) return 'malformed';
  return rest === CLOSE ? { ...called, length: closing + CLOSE.length } : 'incomplete';
}

/** `{"name": …, "arguments": {…}}`, the arguments as they are written; null where it is none. */
export function jsonCall(json: string, argumentsKey: string): Omit<TaggedCall, 'length'> | null {
  const parsed = parseJson(json);
  if (typeof parsed !== 'object' || parsed === null || !('name' in parsed) || typeof parsed.name !== 'string') return null;
  const argumentsJson = memberSpans(json).get(argumentsKey);
  return argumentsJson?.startsWith('{') ? { name: parsed.name, argumentsJson } : null;
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return null; // not a call, then
  }
}
