/** Why a round cannot go on. The message is one sentence for people; it becomes the round's `error`. */
export class TrainerError extends Error {
  readonly code:
    | 'unsuitable_base' | 'unsuitable_model' | 'no_device' | 'no_accelerator' | 'not_enough_memory' | 'bad_config' | 'logprob_mismatch' | 'not_finite' | 'changed' | 'not_replayable' | 'corrupt_policy' | 'stopped';
  /** A step that can never be learned from, where that is why. */
  readonly stepId: string | undefined;
  constructor(code: TrainerError['code'], message: string, options: ErrorOptions & { readonly stepId?: string } = {}) {
    super(message, options);
    this.name = 'TrainerError';
    this.code = code;
    this.stepId = options.stepId;
  }
}
