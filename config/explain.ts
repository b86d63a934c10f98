/** Turns what the schema found wrong into one sentence for the person who wrote the configuration. */
import type { z } from 'zod';
import { nearest } from './nearest.ts';
import { accepts, kindOf, leafPaths, nodesAt, type SchemaNode } from './outline.ts';

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/** One sentence about the most telling problem: a misspelt key before the missing value that it causes. */
export function explain(issues: readonly Issue[], value: unknown): string {
  const issue = issues.find((candidate) => candidate.code === 'unrecognized_keys') ?? issues[0];
  if (!issue) throw new RangeError('a configuration without problems needs no explanation');
  if (issue.code === 'unrecognized_keys') return unknownKey(issue.path, issue.keys[0] ?? '', value);
  const found = at(value, issue.path);
  const name = dotted(issue.path) || 'the configuration';
  const expected = expectation(issue.path, value);
  return found === undefined ? `${name} is missing: it must be ${expected}.` : `${name} is ${show(found)}, but must be ${expected}.`;
}

function unknownKey(path: Path, key: string, value: unknown): string {
  const siblings = [...new Set(settingsAt(path, value).flatMap((node) => Object.keys(node.properties ?? {})))];
  const wrong = dotted([...path, key]);
  const near = nearest(key, siblings);
  if (near !== undefined) return `unknown key ${wrong}; did you mean ${dotted([...path, near])}?`;
  const elsewhere = leafPaths().find((leaf) => leaf.split('.').at(-1) === key);
  if (elsewhere !== undefined) return `unknown key ${wrong}; did you mean ${elsewhere}?`;
  return `unknown key ${wrong}; allowed ${path.length === 0 ? 'at the top' : `in ${dotted(path)}`}: ${siblings.join(', ')}.`;
}

function expectation(path: Path, value: unknown): string {
  const nodes = settingsAt(path, value);
  const kinds = nodes.flatMap((node) => kindOf(node) ?? []);
  if (kinds.length > 1) return `a mapping with kind: ${kinds.join(' or ')}`;
  if (nodes.length > 1 && nodes.every((node) => node.const !== undefined)) return `one of ${nodes.map((node) => `"${node.const}"`).join(', ')}`;
  return nodes.map(accepts).join(' or ');
}

/** The settings at a path, narrowed by the `kind` that the value itself names. */
function settingsAt(path: Path, value: unknown): SchemaNode[] {
  const keys = path.map((key) => (typeof key === 'number' ? key : String(key)));
  const parentKind = at(value, [...path.slice(0, -1), 'kind']);
  const ownKind = at(value, [...path, 'kind']);
  const narrowed = nodesAt(keys).filter((node) => kindOf(node) === undefined || kindOf(node) === ownKind);
  const viaParent = nodesAt(keys.slice(0, -1)).filter((node) => kindOf(node) !== undefined && kindOf(node) === parentKind);
  const last = keys.at(-1);
  if (last !== undefined && viaParent.length > 0) return viaParent.flatMap((node) => node.properties?.[String(last)] ?? []);
  return narrowed.length > 0 ? narrowed : nodesAt(keys);
}

function at(value: unknown, path: Path): unknown {
  let current = value;
  for (const key of path) {
    if (typeof current !== 'object' || current === null) return undefined;
    current = (current as Record<PropertyKey, unknown>)[key]; // any object may be read by key
  }
  return current;
}

function dotted(path: Path): string {
  return path.map(String).join('.');
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
