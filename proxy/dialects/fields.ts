/** Typed reading of a client's JSON object. Every failure is a 400 that names the field and says what it must be. */
import { ApiError } from '../errors.ts';

export interface Range {
  readonly min?: number;
  readonly max?: number;
  /** The lower bound itself is not allowed. */
  readonly aboveMin?: boolean;
}

export function invalid(param: string, message: string): ApiError {
  return new ApiError(400, message, { code: 'invalid_value', param });
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What a wrong value looks like in a message: short, and never a whole prompt. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return 'an array';
  if (isObject(value)) return 'an object';
  const text = JSON.stringify(value);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

function rangeSentence({ min, max, aboveMin }: Range): string {
  const low = min === undefined ? '' : aboveMin === true ? ` above ${min}` : ` of at least ${min}`;
  const high = max === undefined ? '' : `${low === '' ? '' : ' and'} at most ${max}`;
  return low + high;
}

/** One JSON object at a path (`messages[1]`). A null field counts as absent, as OpenAI's API takes it. */
export class Fields {
  readonly #object: Readonly<Record<string, unknown>>;
  readonly #path: string;

  /** @throws ApiError 400 where `value` is not an object. */
  constructor(value: unknown, path = '') {
    if (!isObject(value)) {
      throw path === ''
        ? new ApiError(400, `The request body must be a JSON object, not ${shown(value ?? null)}.`, { code: 'invalid_value' })
        : invalid(path, `${path} must be an object, not ${shown(value ?? null)}.`);
    }
    this.#object = value;
    this.#path = path;
  }

  param(name: string): string {
    return this.#path === '' ? name : `${this.#path}.${name}`;
  }

  raw(name: string): unknown {
    return this.#object[name] ?? undefined;
  }

  has(name: string): boolean {
    return this.raw(name) !== undefined;
  }

  number(name: string, range: Range = {}): number | undefined {
    return this.#inRange(name, range, 'a number', (value) => typeof value === 'number' && Number.isFinite(value));
  }

  integer(name: string, range: Range = {}): number | undefined {
    return this.#inRange(name, range, 'an integer', Number.isSafeInteger);
  }

  boolean(name: string): boolean | undefined {
    return this.#typed(name, 'true or false', (value) => typeof value === 'boolean');
  }

  string(name: string): string | undefined {
    return this.#typed(name, 'a string', (value) => typeof value === 'string');
  }

  array(name: string): readonly unknown[] | undefined {
    return this.#typed(name, 'an array', Array.isArray);
  }

  object(name: string): Fields | undefined {
    return this.has(name) ? new Fields(this.raw(name), this.param(name)) : undefined;
  }

  /** The object itself, for what is handed on unread. */
  get json(): Readonly<Record<string, unknown>> {
    return this.#object;
  }

  /** @throws ApiError 400 `missing_required_parameter` where a reader gave nothing. */
  required<T>(name: string, value: T | undefined): T {
    if (value === undefined) {
      throw new ApiError(400, `${this.param(name)} is missing.`, { code: 'missing_required_parameter', param: this.param(name) });
    }
    return value;
  }

  #typed<T>(name: string, kind: string, is: (value: unknown) => value is T): T | undefined {
    const value = this.raw(name);
    if (value === undefined || is(value)) return value;
    throw invalid(this.param(name), `${this.param(name)} must be ${kind}, not ${shown(value)}.`);
  }

  #inRange(name: string, range: Range, kind: string, is: (value: unknown) => boolean): number | undefined {
    const { min = -Infinity, max = Infinity, aboveMin = false } = range;
    const fits = (value: unknown): value is number =>
      typeof value === 'number' && is(value) && value <= max && (aboveMin ? value > min : value >= min);
    return this.#typed(name, kind + rangeSentence(range), fits);
  }
}
