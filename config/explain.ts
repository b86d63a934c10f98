/** Turns what the schema found wrong into one sentence for the person who wrote the configuration. */
import type { z } from 'zod';
import { nearest } from './nearest.ts';
import { accepts, choiceOf, configOutline, leafPaths, nodesAt, type SchemaNode, variants } from './outline.ts';

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/** One sentence about the most telling problem: a misspelt key before the missing value that it causes. */
export function explain(issues: readonly Issue[], value: unknown): string {
  const issue = issues.find((candidate) => candidate.code === 'unrecognized_keys') ?? issues[0];
  if (!issue) throw new RangeError('a configuration without problems needs no explanation');
  if (issue.code === 'unrecognized_keys') return unknownKey(issue.path, issue.keys[0] ?? '', value);
  if (issue.code === 'custom') return `${dotted(issue.path)}: ${issue.message}.`;
  const found = at(value, issue.path);
  const name = dotted(issue.path) || 'the configuration';
  const expected = expectation(issue.path, value);
  return found === undefined ? `${name} is missing: it must be ${expected}.` : `${name} is ${show(found)}, but must be ${expected}.`;
}

function unknownKey(path: Path, key: string, value: unknown): string {
  const own = settingsAt(path, value);
  const siblings = [...new Set(own.flatMap((node) => Object.keys(node.properties ?? {})))];
  const wrong = dotted([...path, key]);
  const owners = nodesAt(path.map((part) => (typeof part === 'number' ? part : String(part)))).filter((node) => node.properties?.[key] !== undefined).flatMap((node) => choiceOf(node) ?? []);
  const choice = own.length === 1 && own[0] ? choiceOf(own[0]) : undefined;
  if (choice && owners.length > 0) return `unknown key ${wrong} with ${choice.key} ${choice.value}; it belongs to ${owners.map((owner) => owner.value).join(', ')}.`;
  const near = nearest(key, siblings);
  if (near !== undefined) return `unknown key ${wrong}; did you mean ${dotted([...path, near])}?`;
  const elsewhere = leafPaths().find((leaf) => leaf.split('.').at(-1) === key);
  if (elsewhere !== undefined) return `unknown key ${wrong}; did you mean ${elsewhere}?`;
  return `unknown key ${wrong}; allowed ${path.length === 0 ? 'at the top' : `in ${dotted(path)}`}: ${siblings.join(', ')}.`;
}

function expectation(path: Path, value: unknown): string {
  const nodes = settingsAt(path, value);
  const choices = nodes.flatMap((node) => choiceOf(node) ?? []);
  if (choices.length > 1) return `a mapping with ${choices[0]?.key}: ${choices.map((choice) => choice.value).join(' or ')}`;
  if (nodes.length > 1 && nodes.every((node) => node.const !== undefined)) return `one of ${nodes.map((node) => `"${node.const}"`).join(', ')}`;
  return nodes.map(accepts).join(' or ');
}

/** The settings at a path, narrowed by the choices that the value itself makes. */
function settingsAt(path: Path, value: unknown): SchemaNode[] {
  let nodes = [configOutline];
  for (const [depth, key] of path.entries()) {
    const parent = at(value, path.slice(0, depth));
    nodes = nodes.flatMap((node) => chosen(node, parent)).flatMap((node) => (typeof key === 'number' ? node.items : node.properties?.[String(key)]) ?? []);
  }
  return nodes.flatMap((node) => chosen(node, at(value, path)));
}

/** The variant that the value names, or the default one where it names none; all where that is no help. */
function chosen(node: SchemaNode, value: unknown): readonly SchemaNode[] {
  const all = variants(node);
  if (typeof value !== 'object' || value === null) return all;
  const named = all.filter((variant) => {
    const choice = choiceOf(variant);
    return choice !== undefined && (at(value, [choice.key]) ?? (choice.isDefault ? choice.value : undefined)) === choice.value;
  });
  return named.length > 0 ? named : all;
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
