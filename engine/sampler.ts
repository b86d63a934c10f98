/**
 * Logits → one token and its log-probs. Pure. The order is vLLM's (`vllm/v1/sample/sampler.py`): what a grammar allows, logit bias, penalties, temperature, min-p,
 * top-k, top-p; then the inverse of the cumulative distribution.
 */
import type { SampledToken, SamplingOptions } from './engine.ts';
import { expOfNonPositive } from './exp.ts';
import { offered } from './offered.ts';
import type { Penalties, Seen } from './penalties.ts';
import type { StepOutput } from './step-output.ts';
import { topIds } from './top.ts';

export type Shaping = Pick<SamplingOptions, 'temperature' | 'topP' | 'topK' | 'minP'>;
export type Sampling = Shaping & Penalties & Pick<SamplingOptions, 'logitBias'>;

/** What may be sampled: token `ids[i]` (or i itself where `ids` is null) with probability `weights[i] / total`. */
export interface Distribution {
  readonly ids: Int32Array | null;
  readonly weights: Float64Array;
  readonly total: number;
}

/** Probabilities of one row that were computed with its logits, at its temperature (1 where that is 0). */
export type Weighed = Pick<StepOutput, 'probabilities' | 'sums'>;

/** A policy whose numbers are broken (it diverged in training): there is nothing to sample from. */
export class NoDistributionError extends Error {
  constructor(message = 'the policy produced logits that are not numbers: no token can be sampled') {
    super(message);
    this.name = 'NoDistributionError';
  }
}

/**
 * @param logits one row, `[vocab]`; −∞ bans a token
 * @param u uniform in [0, 1)
 * @param topLogprobs how many of the most likely tokens to report
 * @param seen what the penalties speak of; null where there are none
 * @param allowed the mask of a grammar (`Constraint.mask`); null where there is none
 * @param weighed null where only the logits are known
 * @throws NoDistributionError
 */
export function sample(
  logits: Float32Array, options: Sampling, u: number, topLogprobs: number, seen: Seen | null, allowed: Int32Array | null = null, weighed: Weighed | null = null,
): Omit<SampledToken, 'version'> {
  const open = offered(logits, options, seen, allowed);
  if (weighed && open === logits && !isCut(options) && isPrecise(options)) return sampleWeighed(logits, weighed, options.temperature, u, topLogprobs);
  const likeliest = argmax(logits);
  const best = open === logits ? likeliest : argmax(open);
  if (allowed !== null && open[best] === -Infinity) throw new NoDistributionError('the vocabulary has no token that continues the grammar');
  const rawMax = logits[likeliest] ?? 0;
  const plain = open === logits && options.temperature === 1 && !isCut(options);
  const shaped = options.temperature === 0 ? null : distribution(open, options, open[best] ?? 0);
  const normalizer = rawMax + Math.log(plain && shaped ? shaped.total : expSum(logits, rawMax));
  if (!Number.isFinite(normalizer)) throw new NoDistributionError();
  const raw = (id: number) => (logits[id] ?? 0) - normalizer;
  return withRaw(shaped ? draw(shaped, u) : { id: best, logprob: raw(best) }, logits, normalizer, topLogprobs);
}

/** In 32 bits, a logit divided by a small temperature has lost digits. */
const isPrecise = ({ temperature }: Shaping): boolean => temperature === 0 || temperature >= 0.5;

/** Nothing shapes the distribution but its temperature: of the vocabulary only the block with the token is walked. */
function sampleWeighed(logits: Float32Array, weighed: Weighed, temperature: number, u: number, topLogprobs: number): Omit<SampledToken, 'version'> {
  const { probabilities, sums } = weighed;
  let total = 0;
  for (let block = 0; block < sums.length; block++) total += sums[block] ?? 0;
  const id = temperature === 0 ? argmax(logits) : idAt(weighed, u * total);
  const logprob = Math.log((probabilities[id] ?? NaN) / total);
  if (!Number.isFinite(logprob)) throw new NoDistributionError();
  const isRaw = temperature === 1 || temperature === 0;
  const max = isRaw ? 0 : logits[argmax(logits)] ?? 0;
  return withRaw({ id, logprob }, logits, isRaw ? (logits[id] ?? 0) - logprob : max + Math.log(expSum(logits, max)), topLogprobs);
}

/** @param normalizer the logarithm of the sum of e to the power of each logit */
function withRaw(drawn: { readonly id: number; readonly logprob: number }, logits: Float32Array, normalizer: number, topLogprobs: number): Omit<SampledToken, 'version'> {
  const raw = (id: number) => (logits[id] ?? 0) - normalizer;
  return { ...drawn, rawLogprob: raw(drawn.id), top: Array.from(topIds(logits, topLogprobs), (id) => ({ id, logprob: raw(id) })) };
}

/** The distribution after temperature (> 0), min-p, top-k and top-p. `max` is the largest logit. */
export function distribution(logits: Float32Array, options: Shaping, max: number): Distribution {
  const weights = new Float64Array(logits.length);
  let total = 0;
  for (let i = 0; i < logits.length; i++) {
    const weight = expOfNonPositive(((logits[i] ?? 0) - max) / options.temperature);
    weights[i] = weight;
    total += weight;
  }
  return isCut(options) ? cut(logits, weights, options) : { ids: null, weights, total };
}

function isCut({ topP, topK, minP }: Shaping): boolean {
  return topP < 1 || topK > 0 || minP > 0;
}

/** Drops what min-p, top-k and top-p drop. The largest weight is 1, so min-p is a bound on the weights themselves. */
function cut(logits: Float32Array, weights: Float64Array, { topP, topK, minP }: Shaping): Distribution {
  // Equal to the k-th largest is kept, as vLLM does: ties may leave more than k.
  const kth = topK > 0 && topK < logits.length ? logits[topIds(logits, topK)[topK - 1] ?? 0] ?? -Infinity : -Infinity;
  const kept: number[] = [];
  let total = 0;
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i] ?? 0;
    if (weight === 0 || weight < minP || (logits[i] ?? 0) < kth) continue;
    kept.push(i);
    total += weight;
  }
  const ids = topP < 1 ? nucleus(kept, weights, total, topP) : kept;
  const cutWeights = Float64Array.from(ids, (id) => weights[id] ?? 0);
  return { ids: Int32Array.from(ids), weights: cutWeights, total: cutWeights.reduce((sum, weight) => sum + weight, 0) };
}

/**
 * Top-p: from the least likely up (of equals the lower id first, as a stable sort has them), tokens are dropped while their cumulative probability
 * is at most 1 − p; the most likely stays.
 * A token below (1 − p) / vocab is always among the dropped, so only the others are sorted.
 */
function nucleus(candidates: readonly number[], weights: Float64Array, total: number, topP: number): number[] {
  const droppable = 1 - topP;
  const certain = droppable * total / candidates.length;
  let dropped = 0;
  const rest: number[] = [];
  for (const id of candidates) {
    const weight = weights[id] ?? 0;
    if (weight < certain) dropped += weight / total;
    else rest.push(id);
  }
  rest.sort((a, b) => (weights[a] ?? 0) - (weights[b] ?? 0) || a - b);
  let first = 0;
  while (first < rest.length - 1) {
    dropped += (weights[rest[first] ?? 0] ?? 0) / total;
    if (dropped > droppable) break;
    first++;
  }
  return rest.slice(first).toReversed();
}

function draw({ ids, weights, total }: Distribution, u: number): { id: number; logprob: number } {
  const { at } = walk(weights, u * total);
  if (at < 0) throw new NoDistributionError();
  return { id: ids ? ids[at] ?? 0 : at, logprob: Math.log((weights[at] ?? 0) / total) };
}

/** The same in two steps: to a block by its sum, then to a token. −1: none has any probability. */
function idAt({ probabilities, sums }: Weighed, left: number): number {
  const block = walk(sums, left);
  if (block.at < 0) return -1;
  const size = probabilities.length / sums.length;
  const first = block.at * size;
  return first + walk(probabilities.subarray(first, first + size), block.left).at;
}

/** The first of the weights up to which they add up to more than `left`, and what is left before it. The last one with any weight also takes what rounding leaves over; −1: none has. */
function walk(weights: Float32Array | Float64Array, left: number): { readonly at: number; readonly left: number } {
  let at = -1, before = left, after = left;
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i] ?? 0;
    if (weight === 0) continue;
    at = i;
    before = after;
    after -= weight;
    if (after < 0) break;
  }
  return { at, left: before };
}

function argmax(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if ((logits[i] ?? 0) > (logits[best] ?? 0)) best = i;
  return best;
}

function expSum(logits: Float32Array, max: number): number {
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += expOfNonPositive((logits[i] ?? 0) - max);
  return sum;
}
