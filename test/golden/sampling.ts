/** `sampling/`: what vLLM's own functions make of logits; its order is the engine's. (The `.hf` tensors are another order, for whoever follows that.) */
import { NO_PENALTIES, penalized, type Penalties, type Seen } from '../../engine/penalties.ts';
import { distribution, sample, type Shaping } from '../../engine/sampler.ts';
import { close, Mismatch, unknown, type Check } from './check.ts';
import { openTensors, readText } from './files.ts';

type Settings = Readonly<Record<string, number>>;

interface Stored {
  readonly configs: readonly Settings[];
  readonly prompt_token_ids: readonly (readonly number[])[];
  readonly output_token_ids: readonly (readonly number[])[];
  /** Of a `tie_ambiguous` case only the multiset of probabilities is defined; of any case, that of tokens with equal logits. */
  readonly cases: readonly { readonly config: number; readonly row: number; readonly tie_ambiguous: boolean }[];
}

const known = new Set(['temperature', 'top_k', 'top_p', 'min_p', 'repetition_penalty', 'presence_penalty', 'frequency_penalty']);

export function* sampling(set: string): Generator<Check> {
  const stored: Stored = JSON.parse(readText(set, 'sampling/sampling.json'));
  using tensors = openTensors(set, 'sampling/sampling.safetensors');
  const [rows = 0, vocabulary = 0] = tensors.shape('logits');
  const rowOf = (tensor: string, row: number): Float32Array => tensors.read(tensor).data.slice(row * vocabulary, (row + 1) * vocabulary);

  for (let row = 0; row < rows; row++) {
    yield { name: `row ${row}: raw log-probs`, run: () => close(rawLogprobs(rowOf('logits', row)), rowOf('raw_logprobs', row), { absolute: 1e-5 }, 'raw log-probs') };
  }
  for (const { config, row, tie_ambiguous: isAmbiguous } of stored.cases) {
    const settings = stored.configs[config] ?? {};
    const name = `row ${row} with ${JSON.stringify(settings)}`;
    const strange = Object.keys(settings).filter((key) => !known.has(key));
    if (strange.length > 0) {
      yield unknown(name, `this project knows no sampling setting ${strange.join(', ')}`);
      continue;
    }
    yield {
      name,
      run: () => {
        const seen = { prompt: new Set(stored.prompt_token_ids[row]), generated: counts(stored.output_token_ids[row] ?? []) };
        const options = optionsOf(settings), logits = rowOf('logits', row);
        const actual = probabilities(logits, options, seen);
        const expected = tensors.read(`c${config}.r${row}.vllm`).data;
        const order = (probability: Float32Array): Float32Array => (isAmbiguous ? probability.toSorted() : withTiesSorted(probability, penalized(logits, options, seen)));
        return compare(order(actual), order(expected));
      },
    };
  }
}

/** Which of several equally likely tokens a cut leaves out is up to the sort: among tokens of one logit the probabilities are put in order. */
function withTiesSorted(probability: Float32Array, logits: Float32Array): Float32Array {
  const order = [...logits.keys()].sort((a, b) => (logits[a] ?? 0) - (logits[b] ?? 0) || (probability[a] ?? 0) - (probability[b] ?? 0));
  return Float32Array.from(order, (id) => probability[id] ?? NaN);
}

/** Within 1e-5, over the same tokens. */
function compare(actual: Float32Array, expected: Float32Array): number {
  const share = close(actual, expected, { absolute: 1e-5 }, 'probabilities');
  const odd = expected.findIndex((p, id) => p > 0 !== (actual[id] ?? 0) > 0);
  if (odd >= 0) throw new Mismatch(`a token has probability ${actual[odd]}, not ${expected[odd]}: another support`, Infinity);
  return share;
}

const optionsOf = (settings: Settings): Shaping & Penalties => ({
  temperature: settings['temperature'] ?? 1,
  topP: settings['top_p'] ?? 1,
  topK: settings['top_k'] ?? 0,
  minP: settings['min_p'] ?? 0,
  repetitionPenalty: settings['repetition_penalty'] ?? NO_PENALTIES.repetitionPenalty,
  presencePenalty: settings['presence_penalty'] ?? NO_PENALTIES.presencePenalty,
  frequencyPenalty: settings['frequency_penalty'] ?? NO_PENALTIES.frequencyPenalty,
});

function counts(tokenIds: readonly number[]): Map<number, number> {
  const count = new Map<number, number>();
  for (const id of tokenIds) count.set(id, (count.get(id) ?? 0) + 1);
  return count;
}

/** The probabilities as a dense row, rounded as the stored ones are. */
function probabilities(logits: Float32Array, options: Shaping & Penalties, seen: Seen): Float32Array {
  const dense = new Float32Array(logits.length);
  if (options.temperature === 0) {
    dense[sample(logits, options, 0, 0, seen).id] = 1;
    return dense;
  }
  const offered = penalized(logits, options, seen);
  const { ids, weights, total } = distribution(offered, options, Math.max(...offered));
  weights.forEach((weight, i) => { dense[ids ? ids[i] ?? 0 : i] = weight / total; });
  return dense;
}

/** Every token's log-prob as the engine reports it beside a sampled token. */
function rawLogprobs(logits: Float32Array): Float32Array {
  const all = new Float32Array(logits.length);
  const { top } = sample(logits, { temperature: 1, topP: 1, topK: 0, minP: 0, ...NO_PENALTIES }, 0, logits.length, null);
  for (const { id, logprob } of top) all[id] = logprob;
  return all;
}
