/** Means and deviations of few numbers, in float64: in float32 seven rewards of 0.7 would get an advantage of 0.056. */

export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] as number; // within the array
  return values.length === 0 ? 0 : sum / values.length;
}

/**
 * Sum of squares about the mean / (n − ddof), its root. Equal values give 0 exactly (their computed mean may be off by one rounding),
 * and so does a single one.
 */
export function deviation(values: ArrayLike<number>, ddof: 0 | 1 = 1): number {
  const centre = mean(values);
  let squares = 0;
  let equal = true;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number; // within the array
    squares += (value - centre) ** 2;
    equal &&= value === values[0];
  }
  return equal ? 0 : Math.sqrt(squares / (values.length - ddof));
}

export function groupBy<T, Key>(items: Iterable<T>, key: (item: T) => Key): Map<Key, T[]> {
  const groups = new Map<Key, T[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group) group.push(item);
    else groups.set(key(item), [item]);
  }
  return groups;
}
