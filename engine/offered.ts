/** The logits that a row samples from, before temperature and cuts: the model's, within a grammar, biased and penalized. Pure. */
import type { SamplingOptions } from './engine.ts';
import { penalized, type Penalties, type Seen } from './penalties.ts';

/** @returns the logits themselves where nothing changes them, else a copy */
export function offered(logits: Float32Array, options: Penalties & Pick<SamplingOptions, 'logitBias'>, seen: Seen | null, allowed: Int32Array | null): Float32Array {
  const { logitBias = [] } = options;
  let open = logits;
  if (allowed !== null || logitBias.length > 0) {
    open = logits.slice();
    if (allowed !== null) banOthers(open, allowed);
    for (const [id, bias] of logitBias) if (id < open.length) open[id] = (open[id] ?? 0) + bias;
  }
  return seen === null ? open : penalized(open, options, seen);
}

/** Bit `id % 32` of word `id / 32` allows a token. Whole words are the common case, inside a JSON string as between two brackets. */
function banOthers(logits: Float32Array, allowed: Int32Array): void {
  for (let word = 0; word * 32 < logits.length; word++) {
    const bits = allowed[word] ?? 0;
    if (bits === -1) continue;
    const end = Math.min(word * 32 + 32, logits.length);
    if (bits === 0) logits.fill(-Infinity, word * 32, end);
    else for (let id = word * 32; id < end; id++) if (((bits >>> (id & 31)) & 1) === 0) logits[id] = -Infinity;
  }
}
