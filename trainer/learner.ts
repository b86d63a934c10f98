/**
 * The seam between the round and whatever computes gradients. The embedded learner (`trainer/backends/embedded.ts`) emits ONNX
 * graphs by the graph package; others (Tinker, verl) follow behind the same interface.
 */
import type { Tensor } from '../model/model.ts';

/**
 * One micro-batch. `tokenIds` is `[batch, time]`, right-padded. The M trained tokens are listed flat: token m is predicted at
 * flat position `positions[m]` (= b·time + t) and is `targets[m]` (normally tokenIds[b, t+1]). Padding entries of the M list have
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
}

export interface ForwardResult {
  /** `[M]` natural log-probs of the targets. */
  readonly logprobs: Float32Array;
  /** `[M]` entropy of the (tempered) distribution, nats. */
  readonly entropy: Float32Array;
}

export interface BackwardResult extends ForwardResult {
  readonly loss: number;
  /** Gradients by parameter name, same shapes as `parameters`. Fresh arrays: the caller may keep them. */
  readonly gradients: ReadonlyMap<string, Float32Array>;
}

export interface Learner {
  /** The trainable tensors by name (PEFT names for an adapter, Hugging Face names for full). The optimizer changes `data` in place. */
  readonly parameters: ReadonlyMap<string, Tensor>;
  forward(batch: MicroBatch): Promise<ForwardResult>;
  forwardBackward(batch: MicroBatch): Promise<BackwardResult>;
  close(): Promise<void>;
}
