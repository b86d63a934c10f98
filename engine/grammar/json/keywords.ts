/** Which words of JSON Schema (2020-12, and draft 7's where it differs) a schema uses, and what they make of it. Pure. */
import { SchemaError } from './error.ts';

export type SchemaObject = Readonly<Record<string, unknown>>;

/** Words that say something about values of one type only. */
const wordsOf = {
  object: ['properties', 'required', 'additionalProperties', 'patternProperties', 'propertyNames', 'minProperties', 'maxProperties'],
  array: ['items', 'prefixItems', 'minItems', 'maxItems'],
  string: ['pattern', 'minLength', 'maxLength', 'format'],
  number: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'],
} as const;

export type TypedWord = keyof typeof wordsOf;

/** Words that say what a value is without its type; each stands alone. */
const alone = ['enum', 'const', '$ref', 'anyOf', 'oneOf', 'allOf'] as const;

/** Words that change what is valid and cannot be followed. */
const unsupported = [
  'not', 'if', 'then', 'else', 'contains', 'minContains', 'maxContains', 'dependentRequired', 'dependentSchemas', 'dependencies', 'unevaluatedItems',
  '$dynamicRef', '$recursiveRef', 'multipleOf',
];

/** @throws SchemaError for a word that is not supported, or beside another that it does not go with */
export function checkWords(schema: SchemaObject): void {
  const has = (name: string): boolean => schema[name] !== undefined;
  const found = unsupported.find((name) => has(name) && !(name === 'multipleOf' && schema[name] === 1 && schema['type'] === 'integer'));
  if (found !== undefined) throw new SchemaError(`"${found}" is not supported`);
  if (has('uniqueItems') && schema['uniqueItems'] !== false) throw new SchemaError('"uniqueItems" is not supported');
  if (has('unevaluatedProperties') && schema['unevaluatedProperties'] !== false) throw new SchemaError('"unevaluatedProperties" is not supported');
  const main = alone.find(has);
  if (main === undefined) return;
  const beside = [...alone.filter((name) => name !== main), ...Object.values(wordsOf).flat()].find(has);
  if (beside !== undefined) throw new SchemaError(`"${beside}" beside "${main}" is not supported`);
}

/** The type that the words speak of, where none is said; null: any value. Values of other types are valid too, and are not written. */
export function impliedType(schema: SchemaObject): TypedWord | null {
  const types = Object.keys(wordsOf) as TypedWord[]; // keys of the table above
  return types.find((type) => wordsOf[type].some((name) => schema[name] !== undefined)) ?? null;
}
