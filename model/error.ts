/** Everything that can be wrong with a model's files. The message is one sentence that says what to do or what is not supported. */
export class ModelError extends Error {
  readonly code: 'not_found' | 'corrupt' | 'unsupported' | 'invalid_config' | 'unknown_tensor';
  constructor(code: ModelError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ModelError';
    this.code = code;
  }
}
