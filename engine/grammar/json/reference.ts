/** What schemas refer to, and whether two can hold of one value. Pure. */
import { SchemaError } from './error.ts';

type Values = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Values => typeof value === 'object' && value !== null;

/** The schema at a JSON pointer (RFC 6901) of the same document. @throws SchemaError */
export function follow(root: unknown, reference: unknown): unknown {
  if (typeof reference !== 'string' || !/^#(\/|$)/.test(reference)) throw new SchemaError(`"$ref" ${JSON.stringify(reference)} leads out of the schema`);
  let at = root;
  for (const part of reference.split('/').slice(1)) {
    const name = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
    if (!isObject(at) || !Object.hasOwn(at, name)) throw new SchemaError(`"$ref" ${JSON.stringify(reference)} leads nowhere`);
    at = at[name];
  }
  return at;
}

/** JSON Schema's name of a value's type. */
export function nameOfType(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return typeof value === 'number' && Number.isInteger(value) ? 'integer' : typeof value;
}

/** Whether one value could be of two of the branches, as far as types and constants tell. */
export function overlap(root: unknown, branches: readonly unknown[]): boolean {
  const facts = branches.map((branch) => factsOf(root, branch));
  return facts.some((a, i) => facts.slice(i + 1).some((b) => a === null || b === null || mayShare(a, b)));
}

/** Null: it may be anything. */
interface Facts {
  readonly types: readonly string[];
  readonly constants: readonly string[] | null;
  /** Required members with constants: what tells objects apart. */
  readonly tags: ReadonlyMap<string, readonly string[]>;
}

function factsOf(root: unknown, branch: unknown, depth = 0): Facts | null {
  if (!isObject(branch) || depth > 32) return null;
  if (branch['$ref'] !== undefined) return factsOf(root, follow(root, branch['$ref']), depth + 1);
  const constants = constantsOf(branch);
  const { type } = branch;
  const named: readonly unknown[] = type === undefined ? (constants ?? []).map((text) => nameOfType(JSON.parse(text))) : Array.isArray(type) ? type : [type];
  const types = named.filter((name) => typeof name === 'string').map((name) => (name === 'integer' ? 'number' : name));
  if (types.length === 0) return null;
  const required: readonly unknown[] = Array.isArray(branch['required']) ? branch['required'] : [];
  const properties = isObject(branch['properties']) ? branch['properties'] : {};
  const tags = new Map<string, readonly string[]>();
  for (const [name, schema] of Object.entries(properties)) {
    const texts = isObject(schema) ? constantsOf(schema) : null;
    if (texts !== null && required.includes(name)) tags.set(name, texts);
  }
  return { types, constants, tags };
}

function constantsOf(schema: Values): readonly string[] | null {
  if ('const' in schema) return [JSON.stringify(schema['const'])];
  return Array.isArray(schema['enum']) ? schema['enum'].map((value) => JSON.stringify(value)) : null;
}

function mayShare(a: Facts, b: Facts): boolean {
  if (!a.types.some((type) => b.types.includes(type))) return false;
  const apart = (x: readonly string[] | null | undefined, y: readonly string[] | null | undefined): boolean => x != null && y != null && !x.some((text) => y.includes(text));
  if (apart(a.constants, b.constants)) return false;
  return ![...a.tags].some(([name, texts]) => apart(texts, b.tags.get(name)));
}
