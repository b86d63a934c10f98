/** What a model family says about itself. One readable file a family; `index.ts` finds it by name. */
import type { Value } from '../graph/value.ts';
import type { AttentionConfig, HubConfig } from '../hub-config.ts';
import type { ModelConfig } from '../model.ts';
import type { RopeTable } from '../rope.ts';

export interface AttentionCall {
  readonly layer: number;
  /** `[N, heads·headDim]`, not yet rotated. */
  readonly query: Value;
  /** `[N, kvHeads·headDim]`, not yet rotated. */
  readonly key: Value;
  readonly value: Value;
  /** How many keys a query sees, the one at its own position included: those at q − window < k ≤ q. Default: all at k ≤ q. */
  readonly window?: number;
  /** By which of the model's angles query and key turn (`ropesOf`). Default: `full`. */
  readonly rope?: RopeTable;
}

/**
 * What a forward pass is built with. N tokens lie flat, row after row: `N = batch·time`. Training and decoding compile the same
 * architecture with another `attention` (the whole sequence at once; a key/value cache) and other sources of weights.
 */
export interface Forward {
  readonly config: ModelConfig;
  /** A tensor by its Hugging Face name. */
  weight(name: string): Value;
  /** x Wᵀ with W the `.weight` of a module (`model.layers.0.self_attn.q_proj`), plus what an adapter adds: `[N, in]` → `[N, out]`. See `linear.ts`. */
  linear(x: Value, module: string): Value;
  /** → `[N, heads·headDim]`. See `causal-attention.ts`; the engine has one with a cache. */
  attention(call: AttentionCall): Value;
}

/** A family's `config.json`. */
export interface HubFamily {
  /** As it stands in `architectures`. */
  readonly className: string;
  /** What transformers takes for keys that are absent, where that differs between families. */
  readonly defaults: Readonly<Record<string, unknown>>;
  /** Keys that change the numbers, with the values that are computed here; any other value is refused by name. */
  readonly computed: Readonly<Record<string, readonly unknown[]>>;
  /** @throws ModelError `unsupported`, `invalid_config` */
  attention(json: HubConfig, source: string): AttentionConfig;
}

export interface Architecture {
  readonly hub: HubFamily;
  /** Every tensor by its Hugging Face name, with its shape; linear weights are `[out, in]`. */
  tensors(config: ModelConfig): ReadonlyMap<string, readonly number[]>;
  /** Last parts of the names of the modules that an adapter may change (`q_proj`), all reached through `Forward.linear`. */
  readonly adapterTargets: readonly string[];
  /** Token ids (integers) `[N]` → hidden states before the final norm `[N, hiddenSize]`. */
  hidden(forward: Forward, tokenIds: Value): Value;
  /** Hidden states `[M, hiddenSize]` (only the rows that matter) → after the final norm: what heads read. */
  output(forward: Forward, hidden: Value): Value;
  /** Name of the head's weight W, `[vocabSize, hiddenSize]`: logits are output · Wᵀ. */
  headWeight(config: ModelConfig): string;
}
