/** Figures as lines for people. */

export const digits = (number: number, places = 2): number => Number(number.toFixed(places));

/** @param q between 0 and 1 */
export function quantile(numbers: readonly number[], q: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.round(q * (sorted.length - 1))] ?? NaN;
}

/** Rows of equal keys as a table, the names first. */
export function* table(rows: Readonly<Record<string, Readonly<Record<string, number>>>>): Generator<string> {
  const names = Object.keys(rows);
  const columns = Object.keys(Object.values(rows)[0] ?? {});
  const width = Math.max(...names.map((name) => name.length)) + 2;
  const line = (name: string, cells: readonly string[]) => name.padEnd(width) + cells.map((cell, i) => cell.padStart((columns[i]?.length ?? 0) + 2)).join('');
  yield line('', columns);
  for (const [name, row] of Object.entries(rows)) yield line(name, columns.map((column) => String(row[column])));
}
