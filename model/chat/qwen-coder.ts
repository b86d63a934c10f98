/**
 * Tool calls as Qwen3-Coder writes them (the chat template of Qwen/Qwen3-Coder-30B-A3B-Instruct):
 * `<tool_call>` `<function=f>` `<parameter=a>` value `</parameter>` … `</function>` `</tool_call>`, each on a line of its own.
 */
import type { Grammar, JsonSchema, Tagged } from '../grammar.ts';
import { skipSpace } from './json-span.ts';
import { taggedReader, type TaggedCall } from './tagged-calls.ts';
import type { FunctionTool, ToolFormat } from './tool-calls.ts';

const OPEN = '<tool_call>';
const CLOSE = '</tool_call>';

export const qwenCoder: ToolFormat = {
  layoutTokens: [OPEN, CLOSE],
  newReader: (tools) => taggedReader(OPEN, (text) => readCall(text, tools)),
  callsGrammar: (tools, onlyOne) => ({ type: 'tags', tags: tools.map((tool) => call(tool, parameterList(tool))), separator: '\n', onlyOne }),
  textGrammar: (tools) => ({ type: 'text_with_tags', trigger: OPEN, tags: tools.map((tool) => call(tool, tool.strict ? parameterList(tool) : { type: 'any' })) }),
};

function call({ name }: FunctionTool, content: Grammar): Tagged {
  return { begin: `${OPEN}\n<function=${name}>\n`, content, end: `</function>\n${CLOSE}` };
}

function parameterList({ parameters }: FunctionTool): Grammar {
  const { required } = partsOf(parameters);
  const parts = Object.entries(partsOf(parameters).properties).map(([name, schema]): Grammar => {
    const parameter: Grammar = { type: 'tagged', begin: `<parameter=${name}>\n`, content: isPlainString(schema) ? { type: 'any' } : { type: 'json', schema, root: parameters }, end: '\n</parameter>\n' };
    return required.includes(name) ? parameter : { type: 'either', of: [parameter, { type: 'literal', text: '' }] };
  });
  return { type: 'sequence', parts };
}

interface Parts {
  readonly properties: Readonly<Record<string, JsonSchema>>;
  readonly required: readonly string[];
}

const partsOf = (schema: JsonSchema): Parts => ({ properties: {}, required: [], ...(typeof schema === 'object' ? schema as Partial<Parts> : {}) }); // the schema's own check refuses others

/** Such a value is written as it is; any other as JSON. */
function isPlainString(schema: JsonSchema): boolean {
  if (typeof schema !== 'object' || schema['type'] !== 'string') return false;
  return !['enum', 'const', 'pattern', 'format', 'minLength', 'maxLength'].some((word) => word in schema);
}

function readCall(text: string, tools: readonly FunctionTool[]): TaggedCall | 'incomplete' | 'malformed' {
  const close = text.indexOf(CLOSE);
  if (close < 0) {
    const begin = text.slice(skipSpace(text, OPEN.length), OPEN.length + 64).slice(0, '<function='.length);
    return '<function='.startsWith(begin) ? 'incomplete' : 'malformed';
  }
  const parsed = /^\s*<function=([^>\s]+)>([\s\S]*?)<\/function>\s*$/.exec(text.slice(OPEN.length, close));
  if (parsed === null) return 'malformed';
  const [, name = '', inside = ''] = parsed;
  const { properties } = partsOf(tools.find((tool) => tool.name === name)?.parameters ?? true);
  const members = Array.from(inside.matchAll(/<parameter=([^>\s]+)>\n?([\s\S]*?)\n?<\/parameter>/g), ([, key = '', value = '']) => `${JSON.stringify(key)}: ${valueJson(value, properties[key] ?? true)}`);
  return { name, argumentsJson: `{${members.join(', ')}}`, length: close + CLOSE.length };
}

/** What is no JSON is a string, and so is what must be one. */
function valueJson(text: string, schema: JsonSchema): string {
  if (isPlainString(schema)) return JSON.stringify(text);
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return JSON.stringify(text);
  }
}
