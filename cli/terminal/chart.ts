/** Small pictures in text. */
import { plot } from 'asciichart';

/** A line chart, a few columns for each point so that short series are readable. Empty for fewer than two points. */
export function lineChart(values: readonly number[], height = 8): string {
  if (values.length < 2) return '';
  const width = Math.max(1, Math.floor(60 / (values.length - 1)));
  const stretched = values.slice(0, -1).flatMap((value, index) => {
    const next = values[index + 1] ?? value;
    return Array.from({ length: width }, (_, step) => value + ((next - value) * step) / width);
  });
  stretched.push(values.at(-1) ?? 0);
  return plot(stretched, { height, min: Math.min(0, ...values), max: Math.max(1, ...values), format: (value) => value.toFixed(2).padStart(6) });
}
