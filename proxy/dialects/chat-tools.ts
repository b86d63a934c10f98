/** `tools` and `tool_choice` of a chat request, parsed. */
import { ApiError } from '../errors.ts';
import { Fields, invalid } from './fields.ts';

export interface ToolDefinition {
  readonly name: string;
  /** JSON Schema of the arguments; those of a function that names none are any object. */
  readonly parameters: Readonly<Record<string, unknown>>;
  /** Arguments must be valid. */
  readonly strict: boolean;
  /** The definition as the client sent it: chat templates read it. */
  readonly json: Readonly<Record<string, unknown>>;
}

export type ToolChoice =
  | { readonly kind: 'auto' | 'none' | 'required' }
  | { readonly kind: 'named'; readonly name: string };

function parseTool(value: unknown, path: string): ToolDefinition {
  const tool = new Fields(value, path);
  const type = tool.required('type', tool.string('type'));
  if (type !== 'function') throw invalid(`${path}.type`, `${path}.type is "${type}"; only "function" tools are supported.`);
  const definition = tool.required('function', tool.object('function'));
  definition.string('description');
  return {
    name: definition.required('name', definition.string('name')),
    parameters: definition.object('parameters')?.json ?? { type: 'object' },
    strict: definition.boolean('strict') ?? false,
    json: tool.json,
  };
}

function parseChoice(body: Fields, tools: readonly ToolDefinition[]): ToolChoice {
  const choice = body.raw('tool_choice');
  if (choice === undefined || choice === 'auto') return { kind: 'auto' };
  if (choice === 'none') return { kind: 'none' };
  if (choice === 'required') {
    if (tools.length === 0) throw invalid('tool_choice', 'tool_choice is "required", but no tools are given.');
    return { kind: 'required' };
  }
  if (typeof choice === 'string') throw invalid('tool_choice', 'tool_choice must be "auto", "none", "required" or a named function.');
  const named = new Fields(choice, 'tool_choice').object('function');
  const name = named?.string('name');
  if (name === undefined) throw invalid('tool_choice', 'tool_choice must be "auto", "none", "required" or {"type":"function","function":{"name":…}}.');
  if (!tools.some((tool) => tool.name === name)) throw invalid('tool_choice', `tool_choice names "${name}", which is not among the tools.`);
  return { kind: 'named', name };
}

/** @throws ApiError 400, also for the `functions` that `tools` replaced in 2023. */
export function parseTools(body: Fields): { readonly tools: readonly ToolDefinition[]; readonly toolChoice: ToolChoice } {
  for (const old of ['functions', 'function_call']) {
    if (body.has(old)) {
      throw new ApiError(400, `${old} is not supported; send tools and tool_choice instead.`, { code: 'unsupported_parameter', param: old });
    }
  }
  const tools = (body.array('tools') ?? []).map((tool, i) => parseTool(tool, `tools[${i}]`));
  return { tools, toolChoice: parseChoice(body, tools) };
}
