/** What a contender is told, and what it says. */
export interface Job {
  /** A path that it can open: the GGUF file for us, its export for PyTorch. */
  readonly model: string;
  /** A PEFT directory. */
  readonly adapter: string;
  readonly batch: number;
  readonly time: number;
  readonly threads: number;
  /** Timed passes after one that is not. */
  readonly passes: number;
  readonly mode: 'fp32' | 'bf16';
  readonly recompute: boolean;
  readonly cacheDir: string;
}

export interface Contender {
  readonly seconds: readonly number[];
  /** Peak resident memory of the whole process, MiB. */
  readonly peakMb: number;
  /** Ours: what was estimated before the first pass, MiB. */
  readonly estimatedMb?: number;
  readonly loss: number;
  readonly gradNorm: number;
}
