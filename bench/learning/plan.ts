/** What both contenders are told. Equal numbers on both sides are the point: nothing else may be set for one of them alone. */
export interface Plan {
  /** Of reasoning-gym, made easy enough that the model gets some right. */
  readonly kinds: readonly { readonly name: string; readonly config: Readonly<Record<string, unknown>> }[];
  /** The model as we read it, and the same weights as transformers reads them. */
  readonly gguf: string;
  readonly huggingFace: string;
  /** An empty directory for what a run writes. */
  readonly work: string;
  /** Of the tasks, the sampling, and the new adapter. */
  readonly seed: number;
  readonly rounds: number;
  readonly tasksPerRound: number;
  /** Samples of each task. */
  readonly group: number;
  /** Longest completion, in tokens. */
  readonly maxTokens: number;
  readonly temperature: number;
  readonly rank: number;
  readonly alpha: number;
  readonly targets: readonly string[];
  readonly learningRate: number;
  readonly threads: number;
  /** Sequences that TRL computes at once; ours cuts by tokens. */
  readonly microBatch: number;
}

/** One contender's run over one seed. */
export interface Curve {
  readonly rounds: readonly RoundResult[];
  /** From the first sample to the last update, without starting the program and loading the model. */
  readonly seconds: number;
  readonly startSeconds: number;
}

export interface RoundResult {
  /** In the plan's order; the samples were drawn from the policy that the rounds before had made. */
  readonly tasks: readonly TaskResult[];
  readonly seconds: number;
}

export interface TaskResult {
  readonly kind: string;
  /** Mean over the task's samples: the share that was right. */
  readonly reward: number;
}
