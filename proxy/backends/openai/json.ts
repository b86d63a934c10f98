/** Reading another server's JSON, which may be anything. */
export type JsonObject = Readonly<Record<string, unknown>>;

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isNumber = (value: unknown): value is number => typeof value === 'number';

/** An array of numbers, or undefined. */
export function numbers(value: unknown): readonly number[] | undefined {
  return Array.isArray(value) && value.every(isNumber) ? value : undefined;
}

export function records(value: unknown): readonly Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isRecord) : [];
}
