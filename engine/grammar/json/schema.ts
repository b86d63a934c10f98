/**
 * JSON Schema → EBNF. Every text of the grammar is valid; not every valid text is of the grammar: members come in the schema's order, an object that names
 * members has no others unless the schema says so, strings match a pattern whole, numbers have at most 15 digits. What cannot be held to is refused by name.
 * Pure.
 */
import type { JsonSchema } from '../../../model/grammar.ts';
import { either } from './ebnf.ts';
import { SchemaError } from './error.ts';
import { checkWords, impliedType, type SchemaObject } from './keywords.ts';
import { numberRange, integerRange } from './number-range.ts';
import { regularGrammar } from './automaton.ts';
import { arrayGrammar, keyExcept, objectGrammar, type Member, type OtherMembers } from './object.ts';
import { parsePattern } from './pattern.ts';
import { follow, nameOfType, overlap } from './reference.ts';
import { Rules } from './rules.ts';
import { bound, oneOfTexts, stringGrammar } from './string.ts';

/** Whitespace is bounded, so that a weak model cannot write it for ever; likewise the digits of numbers. */
const common = String.raw`
ws ::= [ \n\t]{0,8}
char ::= [^"\\\x00-\x1f] | "\\" (["\\/bfnrt] | "u" ([0-9A-Ca-cEFef] [0-9A-Fa-f] | [Dd] [0-7]) [0-9A-Fa-f] [0-9A-Fa-f])
keychar ::= [^"\\\x00-\x1f]
string ::= "\"" char* "\""
any ::= string | number | "true" | "false" | "null" | array | object
array ::= "[" ws ("]" | any (ws "," ws any)* ws "]")
object ::= "{" ws ("}" | pair (ws "," ws pair)* ws "}")
pair ::= string ws ":" ws any
`.trim();

const integer = '-?(0|[1-9][0-9]{0,14})';
const number = `${integer}(\\.[0-9]{1,15})?([eE][+-]?[0-9]{1,2})?`;

/**
 * @param root what `$ref`s are about
 * @returns EBNF whose `root` is the value
 * @throws SchemaError with where in the schema and why
 */
export function jsonGrammar(schema: JsonSchema, root: JsonSchema = schema): string {
  return new Converter(root).grammar(schema);
}

class Converter {
  readonly #root: JsonSchema;
  readonly #rules = new Rules();
  /** Rules of schemas that were met, so that one that holds itself ends. */
  readonly #ruleOf = new Map<JsonSchema, string>();
  /** Schemas that are being looked into without a character written since. */
  readonly #pending = new Set<JsonSchema>();

  constructor(root: JsonSchema) {
    this.#root = root;
  }

  grammar(schema: JsonSchema): string {
    const root = this.#rule(schema, '#');
    const terminals = [`integer ::= ${this.#regular(integer)}`, `number ::= ${this.#regular(number)}`];
    return [`root ::= ${root}`, common, ...terminals, this.#rules.text].join('\n');
  }

  /** The name of the schema's rule. */
  #rule(schema: unknown, path: string): string {
    if (schema === true) return 'any';
    if (schema === false) throw new SchemaError(`${path}: no value is valid`);
    if (!isSchemaObject(schema)) throw new SchemaError(`${path}: a schema must be an object or a boolean`);
    const known = this.#ruleOf.get(schema);
    if (this.#pending.has(schema)) throw new SchemaError(`${path}: it refers to itself without writing anything`);
    if (known !== undefined) return known;
    const rule = this.#rules.later('value');
    this.#ruleOf.set(schema, rule.name);
    this.#pending.add(schema);
    try {
      rule.complete(this.#value(schema, path));
    } catch (error) {
      throw error instanceof SchemaError && !error.message.startsWith('#') ? new SchemaError(`${path}: ${error.message}`) : error;
    } finally {
      this.#pending.delete(schema);
    }
    return rule.name;
  }

  /** A rule after something was written: cycles through it end. */
  #inner(schema: unknown, path: string): string {
    const pending = [...this.#pending];
    this.#pending.clear();
    try {
      return this.#rule(schema, path);
    } finally {
      for (const outer of pending) this.#pending.add(outer);
    }
  }

  #value(schema: SchemaObject, path: string): string {
    checkWords(schema);
    const { $ref: reference, anyOf, oneOf, allOf, type } = schema;
    if (reference !== undefined) return this.#rule(follow(this.#root, reference), JSON.stringify(reference).slice(1, -1));
    if (schema['enum'] !== undefined || schema['const'] !== undefined) return this.#constants(schema);
    for (const [name, branches] of Object.entries({ anyOf, oneOf, allOf })) {
      if (branches === undefined) continue;
      if (!Array.isArray(branches) || branches.length === 0) throw new SchemaError(`"${name}" must be an array with a schema in it`);
      return this.#branches(name, branches, path);
    }
    if (Array.isArray(type)) return either(type.map((one) => this.#typed(one, schema, path)));
    return this.#typed(type ?? impliedType(schema), schema, path);
  }

  #constants(schema: SchemaObject): string {
    const { type } = schema;
    const values: unknown = 'const' in schema ? [schema['const']] : schema['enum'];
    if (!Array.isArray(values)) throw new SchemaError('"enum" must be an array');
    const types: readonly unknown[] | null = type === undefined ? null : Array.isArray(type) ? type : [type];
    const fitting = values.filter((value: unknown) => types === null || types.includes(nameOfType(value)) || (types.includes('number') && typeof value === 'number'));
    if (fitting.length === 0) throw new SchemaError('no value is valid');
    return oneOfTexts(fitting, this.#rules);
  }

  #branches(name: string, branches: readonly unknown[], path: string): string {
    if (name === 'allOf' && branches.length > 1) throw new SchemaError('"allOf" of several schemas is not supported: write them as one');
    if (name === 'oneOf' && overlap(this.#root, branches)) throw new SchemaError('"oneOf" is supported where a type or a constant tells its branches apart; here a value could be of two: use "anyOf"');
    const possible = branches.flatMap((branch, index) => (branch === false ? [] : [this.#rule(branch, `${path}/${name}/${index}`)]));
    if (possible.length === 0) throw new SchemaError('no value is valid');
    return either(possible);
  }

  #typed(type: unknown, schema: SchemaObject, path: string): string {
    switch (type) {
      case null: return 'any';
      case 'object': return this.#object(schema, path);
      case 'array': return this.#array(schema, path);
      case 'string': return stringGrammar(schema, this.#rules);
      case 'number': case 'integer': return this.#numeric(type, schema);
      case 'boolean': return '("true" | "false")';
      case 'null': return '"null"';
      default: throw new SchemaError(`the type ${JSON.stringify(type)} is not one of JSON's`);
    }
  }

  #object(schema: SchemaObject, path: string): string {
    const { properties = {}, required = [], additionalProperties, patternProperties, propertyNames } = schema;
    if (!isSchemaObject(properties)) throw new SchemaError('"properties" must be an object');
    if (!isStrings(required)) throw new SchemaError('"required" must be an array of names');
    const unnamed = additionalProperties ?? schema['unevaluatedProperties'] ?? true;
    const names = [...new Set([...Object.keys(properties), ...required])];
    const members: Member[] = [];
    for (const name of names) {
      const isRequired = required.includes(name);
      const value = Object.hasOwn(properties, name) ? properties[name] : unnamed;
      if (value === false && isRequired) throw new SchemaError(`"${name}" is required, but no value of it is valid`);
      if (value !== false) members.push({ name, value: this.#inner(value, `${path}/properties/${name}`), isRequired });
    }
    const min = bound('minProperties', schema['minProperties']) ?? 0, max = bound('maxProperties', schema['maxProperties']);
    if (min > required.length) throw new SchemaError('"minProperties" is not supported: name members as "required"');
    if (max !== null && names.length > 0 && (max < members.length || unnamed !== false)) throw new SchemaError('"maxProperties" beside "properties" is not supported');
    if (patternProperties !== undefined) {
      if (!isSchemaObject(patternProperties) || Object.keys(patternProperties).length !== 1 || names.length > 0 || propertyNames !== undefined) throw new SchemaError('"patternProperties" is supported for one pattern, alone');
      const [[pattern, value] = ['', true]] = Object.entries(patternProperties);
      return objectGrammar([], { key: stringGrammar({ pattern }, this.#rules), value: this.#inner(value, `${path}/patternProperties`), max }, this.#rules);
    }
    if (propertyNames !== undefined && names.length > 0) throw new SchemaError('"propertyNames" beside "properties" is not supported');
    // What a schema with names does not say about others, it mostly means to exclude.
    if (unnamed === false || (names.length > 0 && additionalProperties === undefined)) return objectGrammar(members, null, this.#rules);
    const key = names.length > 0 ? keyExcept(names, this.#rules) : propertyNames === undefined ? 'string' : this.#inner({ type: 'string', ...(isSchemaObject(propertyNames) ? propertyNames : {}) }, `${path}/propertyNames`);
    const others: OtherMembers = { key, value: this.#inner(unnamed, `${path}/additionalProperties`), max };
    return objectGrammar(members, others, this.#rules);
  }

  #array(schema: SchemaObject, path: string): string {
    const { items, prefixItems } = schema;
    const fixedItems: unknown = prefixItems ?? (Array.isArray(items) ? items : []);
    if (!Array.isArray(fixedItems)) throw new SchemaError('"prefixItems" must be an array');
    const fixed = fixedItems.map((item, index) => this.#inner(item, `${path}/prefixItems/${index}`));
    const min = bound('minItems', schema['minItems']) ?? 0, max = bound('maxItems', schema['maxItems']);
    const others = Array.isArray(items) ? schema['additionalItems'] : items;
    const isClosed = others === false || (fixed.length > 0 && others === undefined && min <= fixed.length);
    if (max !== null && (max < fixed.length || max < min)) throw new SchemaError('"maxItems" is less than the items that there must be');
    if (isClosed && min > fixed.length) throw new SchemaError('"minItems" is more than the items that there may be');
    return arrayGrammar(fixed, isClosed ? null : this.#inner(others ?? true, `${path}/items`), min, max);
  }

  #numeric(type: 'number' | 'integer', schema: SchemaObject): string {
    const [minimum, maximum, exclusiveMinimum, exclusiveMaximum] = ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'].map((name) => {
      const value = schema[name];
      if (value !== undefined && typeof value !== 'number') throw new SchemaError(`"${name}" must be a number`);
      return value;
    });
    if ([minimum, maximum, exclusiveMinimum, exclusiveMaximum].every((limit) => limit === undefined)) return type;
    const from = Math.max(minimum ?? -Infinity, exclusiveMinimum ?? -Infinity), to = Math.min(maximum ?? Infinity, exclusiveMaximum ?? Infinity);
    const excluded = { from: from === exclusiveMinimum, to: to === exclusiveMaximum };
    const range = type === 'number' ? numberRange(from, to, excluded)
      : integerRange(excluded.from ? Math.floor(from) + 1 : from, excluded.to ? Math.ceil(to) - 1 : to);
    if (range === null) throw new SchemaError('there is no number with at most 15 digits between its bounds, or none beyond the next integers');
    return this.#regular(range);
  }

  #regular(pattern: string): string {
    return regularGrammar(parsePattern(pattern), this.#rules);
  }
}

const isSchemaObject = (value: unknown): value is SchemaObject => typeof value === 'object' && value !== null && !Array.isArray(value);

const isStrings = (value: unknown): value is readonly string[] => Array.isArray(value) && value.every((item) => typeof item === 'string');
