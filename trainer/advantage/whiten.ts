/**
 * (x − mean) / √(var + 1e-8) over all tokens of all rows, the variance over n − 1 (REINFORCE++, arXiv 2501.03262, section 3; PPO's usual
 * advantage normalization). Equal values become 0 exactly.
 */
import { deviation, mean } from './statistics.ts';

export function whiten(rows: readonly Float64Array[]): Float64Array[] {
  const all = Float64Array.from(rows.flatMap((row) => [...row]));
  const spread = deviation(all);
  const [centre, scale] = [mean(all), Math.sqrt(spread ** 2 + 1e-8)];
  return rows.map((row) => (spread === 0 ? new Float64Array(row.length) : row.map((x) => (x - centre) / scale)));
}
