/**
 * Where `@huggingface/jinja` differs from Python's Jinja in ways that real chat templates meet, put right by rewriting the parsed
 * template: `text.lstrip('\n')` strips whatever whitespace there is (the argument is ignored), `none | trim` fails where Python
 * prints `None`, and `strftime_now` speaks the machine's language. Each becomes a call of a function below.
 */
import { Template } from '@huggingface/jinja';
import { generationAsIf, markGeneration } from './generation.ts';

/** The variables that a rewritten template calls; names that no template uses. */
export const PYTHON_FUNCTIONS = {
  __strip: (text: string, characters: string) => stripEnd(stripStart(text, characters), characters),
  __lstrip: stripStart,
  __rstrip: stripEnd,
  /** Python's `str()` for what templates trim. A string passes through. */
  __text: (value: unknown) => value ?? 'None',
  __strftime_now: (format: string) => strftime(new Date(), format),
};

/** Parses a template and rewrites it. @throws Error with the parser's own message */
export function parseTemplate(source: string): Template {
  const template = new Template(generationAsIf(source));
  rewrite(template.parsed);
  return template;
}

type Node = Record<string, unknown>;

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null;
}

function rewrite(value: unknown): void {
  if (!isNode(value)) return;
  const children = value instanceof Map ? [...value].flat() : Object.values(value);
  children.forEach(rewrite);
  markGeneration(value, (variable) => statement(`{{ ${variable} }}`));
  if (value['type'] === 'CallExpression') rewriteStrip(value);
  if (value['type'] === 'FilterExpression') rewriteTrim(value);
  if (value['type'] === 'Identifier' && value['value'] === 'strftime_now') value['value'] = '__strftime_now';
}

/** `object.strip(characters)` → `__strip(object, characters)`. Without an argument the library's own is right. */
function rewriteStrip(call: Node): void {
  const { callee, args } = call;
  if (!isNode(callee) || callee['type'] !== 'MemberExpression' || callee['computed'] === true || !Array.isArray(args) || args.length !== 1) return;
  const { object, property } = callee;
  if (!isNode(property) || !['strip', 'lstrip', 'rstrip'].includes(String(property['value']))) return;
  property['value'] = `__${String(property['value'])}`;
  call['callee'] = property;
  call['args'] = [object, args[0]];
}

/** `operand | trim` → `__text(operand) | trim`. */
function rewriteTrim(filter: Node): void {
  if (!isNode(filter['filter']) || filter['filter']['value'] !== 'trim') return;
  const wrapped = statement('{{ __text(operand) }}');
  if (!isNode(wrapped)) return;
  wrapped['args'] = [filter['operand']];
  filter['operand'] = wrapped;
}

/** The parsed form of a template of one statement. */
const statement = (source: string): unknown => new Template(source).parsed.body[0];

function stripStart(text: string, characters: string): string {
  const strip = new Set(characters);
  let start = 0;
  while (start < text.length && strip.has(text[start]!)) start++;
  return text.slice(start);
}

function stripEnd(text: string, characters: string): string {
  const strip = new Set(characters);
  let end = text.length;
  while (end > 0 && strip.has(text[end - 1]!)) end--;
  return text.slice(0, end);
}

const MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December'];
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];

/** Python's `datetime.strftime` in the C locale and local time. Other directives stay as they are. */
export function strftime(date: Date, format: string): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const directives: Record<string, string> = {
    Y: String(date.getFullYear()), m: two(date.getMonth() + 1), d: two(date.getDate()), H: two(date.getHours()), M: two(date.getMinutes()), S: two(date.getSeconds()),
    B: MONTHS[date.getMonth()]!, b: MONTHS[date.getMonth()]!.slice(0, 3), A: DAYS[date.getDay()]!, a: DAYS[date.getDay()]!.slice(0, 3), y: two(date.getFullYear() % 100), '%': '%',
  };
  return format.replace(/%([a-zA-Z%])/g, (whole, letter: string) => directives[letter] ?? whole);
}
