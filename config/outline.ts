/** The configuration schema as plain data (JSON Schema), for error messages and the documentation. */
import { z } from 'zod';
import { configSchema } from './schema.ts';

/** The part of JSON Schema that this configuration uses. */
export interface SchemaNode {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean';
  readonly description?: string;
  readonly default?: unknown;
  readonly const?: string;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly minLength?: number;
  readonly format?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
  readonly items?: SchemaNode;
  readonly oneOf?: readonly SchemaNode[];
}

export type Path = readonly (string | number)[];

// zod types its result as full JSON Schema; the schema file uses only the keywords above.
export const configOutline = z.toJSONSchema(configSchema, { io: 'input' }) as unknown as SchemaNode;

/** The settings that may stand at a path; several where the path leads through a choice of kinds. */
export function nodesAt(path: Path, root: SchemaNode = configOutline): SchemaNode[] {
  let nodes = [root];
  for (const key of path) {
    nodes = nodes.flatMap(variants).flatMap((node) => {
      const child = typeof key === 'number' || /^\d+$/.test(key) ? node.items : node.properties?.[key];
      return child ? [child] : [];
    });
  }
  return nodes.flatMap(variants);
}

export function variants(node: SchemaNode): readonly SchemaNode[] {
  return node.oneOf ?? [node];
}

export interface Choice {
  readonly key: string;
  readonly value: string;
  /** It is meant where the key is absent. */
  readonly isDefault: boolean;
}

/** The key by which a variant differs from the others, e.g. `kind: embedded` or `name: grpo`. */
export function choiceOf(node: SchemaNode): Choice | undefined {
  const entry = Object.entries(node.properties ?? {}).find(([, child]) => child.const !== undefined);
  return entry && { key: entry[0], value: entry[1].const ?? '', isDefault: entry[1].default !== undefined };
}

/** Every leaf setting as a dotted path. */
export function leafPaths(node: SchemaNode = configOutline, prefix = ''): string[] {
  if (node.oneOf) return [...new Set(node.oneOf.flatMap((variant) => leafPaths(variant, prefix)))];
  if (!node.properties) return [prefix];
  return Object.entries(node.properties).flatMap(([key, child]) => leafPaths(child, prefix ? `${prefix}.${key}` : key));
}

/** What a setting accepts, in words: "a whole number from 0 to 65535". */
export function accepts(node: SchemaNode): string {
  if (node.const !== undefined) return `"${node.const}"`;
  if (node.enum) return `one of ${node.enum.map((value) => `"${value}"`).join(', ')}`;
  switch (node.type) {
    case 'boolean': return 'true or false';
    case 'integer': return `a whole number${range(node)}`;
    case 'number': return `a number${range(node)}`;
    case 'array': return node.items?.type === 'object' ? 'a list of mappings' : `a list of ${node.items?.type === 'string' ? 'strings' : 'values'}`;
    case 'object': return `a mapping with the keys ${Object.keys(node.properties ?? {}).join(', ')}`;
    case 'string':
      if (node.format === 'uri') return 'a URL';
      return node.minLength === undefined ? 'a string' : `a string of at least ${node.minLength} characters`;
    default: return node.oneOf ? node.oneOf.map(accepts).join(' or ') : 'a value';
  }
}

function range(node: SchemaNode): string {
  const { exclusiveMinimum } = node;
  const minimum = node.minimum === Number.MIN_SAFE_INTEGER ? undefined : node.minimum;
  // zod writes the safe-integer limits as bounds; they say nothing to a reader.
  const maximum = node.maximum === Number.MAX_SAFE_INTEGER ? undefined : node.maximum;
  if (exclusiveMinimum !== undefined) return ` above ${exclusiveMinimum}`;
  if (minimum !== undefined && maximum !== undefined) return ` from ${minimum} to ${maximum}`;
  if (minimum !== undefined) return ` of at least ${minimum}`;
  return maximum === undefined ? '' : ` of at most ${maximum}`;
}
