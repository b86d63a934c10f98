/**
 * The seam between the round and whatever computes gradients. The embedded learner (`trainer/backends/embedded.ts`) emits ONNX
 * graphs by the graph package; others (Tinker, verl) follow behind the same interface.
 */
import type { Graph } from '../model/graph/graph.ts';
import type { Value } from '../model/graph/value.ts';
import type { Tensor } from '../model/model.ts';

/**
 * One micro-batch. `tokenIds` is `[batch, time]`, right-padded. The M trained tokens are listed flat: token m is predicted at
 * flat position `positions[m]` (= b·time + t) and is `targets[m]` (in a row of one sequence tokenIds[b, t+1]). Padding entries of the M list have
 * weight 0 everywhere.
 */
export interface MicroBatch {
  readonly batch: number;
  readonly time: number;
  readonly tokenIds: Int32Array;
  readonly positions: Int32Array;
  readonly targets: Int32Array;
  /** `[M]`: logits are divided by this before the softmax; 1 for greedy steps. */
  readonly temperature: Float32Array;
  /** `[M]` inputs of the loss, by name: `behaviourLogprob`, `oldLogprob`, `advantage`, `weight`, … */
  readonly perToken: Readonly<Record<string, Float32Array>>;
  /**
   * `[M]`, in [0, M): tokens of the same number are of one sequence (step), all of which is in this micro-batch; padding may have any. Needed
   * by losses that ask for `sequenceSum`.
   */
  readonly sequences?: Int32Array;
  /** Where rows hold several sequences that begin alike. Absent: each row is one. */
  readonly branches?: Branches;
}

/** The beginning once, and what follows one after the other: a tree, depth first. `[batch, time]` each. */
export interface Branches {
  /** The place of a token in its own sequence, from 0. */
  readonly places: Int32Array;
  /** Where in the row the last sequence that holds the token ends: it is seen from its own position up to there. */
  readonly seenUntil: Int32Array;
}

/** What a loss is built of: graph values, all `[M]`, one entry per trained token. */
export interface TokenValues {
  readonly graph: Graph;
  /** Natural log-prob of the target under the policy being trained, at the batch's temperature. Differentiable. */
  readonly logprob: Value;
  /** Entropy of the (tempered) distribution, nats. Differentiable. */
  readonly entropy: Value;
  /** The batch's `perToken` input of that name (float32). Asking for it makes it a required input of `forwardBackward`. */
  readonly perToken: (name: string) => Value;
  /** For each token the sum of x `[M]` over the tokens of its sequence. Asking for it makes `sequences` a required input of `forwardBackward`. */
  readonly sequenceSum: (x: Value) => Value;
  /** The value head's prediction at the token, V(s_t). Absent: the learner has no value head. Differentiable. */
  readonly value?: Value;
}

/**
 * An algorithm, composed of the graph's differentiable operations (`model/graph/index.ts`), so that its gradient is the graph's.
 * Padding entries have weight 0, but an unbounded input under it (nan, ±inf) must be replaced by `where` *before* it is
 * used: 0 · inf is nan, in the value and in the gradient.
 */
export type LossFn = (tokens: TokenValues) => {
  /** A scalar (`[]`): the sum over this micro-batch, with the normalization of the whole batch in the weights. */
  readonly loss: Value;
  /** `[M]`, where a loss can tell: each token's part before weighting, 0 at tokens that do not count. For inspection. */
  readonly perToken?: Value;
};

export interface ForwardResult {
  /** `[M]` natural log-probs of the targets. */
  readonly logprobs: Float32Array;
  /** `[M]` entropy of the (tempered) distribution, nats. */
  readonly entropy: Float32Array;
  /** `[M]` what the value head says at the position that the target is predicted from; absent: there is none. */
  readonly values?: Float32Array;
}

export interface BackwardResult extends ForwardResult {
  readonly loss: number;
  /** Gradients by parameter name, same shapes as `parameters`. Fresh arrays: the caller may keep them. */
  readonly gradients: ReadonlyMap<string, Float32Array>;
}

/** How gradients will be computed. */
export interface MemoryPlan {
  /** The forward pass is computed again during the backward pass. */
  readonly recompute: boolean;
  /** Resident memory of the process at its peak, as estimated. */
  readonly peakBytes: number;
}

export interface Learner {
  /** The trainable tensors by name (PEFT names for an adapter, Hugging Face names for full; `value_head.…`). The optimizer changes `data` in place. */
  readonly parameters: ReadonlyMap<string, Tensor>;
  /** Before the first of these is computed: can they be, in the memory there is? @throws TrainerError `not_enough_memory` */
  plan(batches: readonly MicroBatch[]): Promise<MemoryPlan>;
  forward(batch: MicroBatch): Promise<ForwardResult>;
  forwardBackward(batch: MicroBatch): Promise<BackwardResult>;
  close(): Promise<void>;
}
