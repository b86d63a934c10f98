/** What the rest of the project knows about a model: its configuration, its weights, its text. */
import type { ArchitectureName } from './architectures/index.ts';
import type { ChatTemplate } from './chat/template.ts';
import type { Tokenizer } from './tokenizer.ts';

/** Rotary position embedding: plain, with all positions divided by a factor, or with Llama 3's scaling of the slow frequencies. */
export type RopeConfig =
  | { type: 'default'; theta: number }
  | { type: 'linear'; theta: number; factor: number }
  | { type: 'llama3'; theta: number; factor: number; lowFreqFactor: number; highFreqFactor: number; originalMaxPositions: number };

/** Attention to the last tokens only, in some of the layers. */
export interface SlidingWindow {
  /** How many keys a query sees, the one at its own position included. */
  readonly window: number;
  /** By layer: whether it slides or sees everything before it. */
  readonly layers: readonly boolean[];
  /** By what these layers turn query and key. */
  readonly rope: RopeConfig;
}

/** A decoder's hyperparameters, parsed once from `config.json` (either layout) or GGUF metadata. */
export interface ModelConfig {
  readonly architecture: ArchitectureName;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly rmsNormEps: number;
  readonly rope: RopeConfig;
  /** Null: every layer sees everything before it. */
  readonly sliding: SlidingWindow | null;
  /** What attention scores are multiplied by; headDim^−½ in most models. */
  readonly attentionScale: number;
  readonly tieWordEmbeddings: boolean;
  readonly maxPositions: number;
  readonly bosTokenId: number | null;
  readonly eosTokenIds: readonly number[];
  readonly padTokenId: number | null;
}

/** A dense float32 tensor, row-major. */
export interface Tensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Base weights by their Hugging Face names (`model.layers.0.self_attn.q_proj.weight`, `[out, in]`), dequantized to float32 when read. */
export interface Weights {
  names(): readonly string[];
  has(name: string): boolean;
  shape(name: string): readonly number[];
  /** Reads (and dequantizes) one tensor. Not cached. */
  read(name: string): Tensor;
  close(): void;
}

export interface Model {
  /** Public name: the directory's or file's base name unless configured. */
  readonly name: string;
  readonly path: string;
  readonly config: ModelConfig;
  readonly weights: Weights;
  readonly tokenizer: Tokenizer;
  readonly chatTemplate: ChatTemplate;
  /** SHA-256 over configuration and weight bytes: what a data directory is tied to. */
  readonly fingerprint: string;
}
