/** A schema that sampling cannot be held to. The message is the end of a sentence that begins with where it stands. */
export class SchemaError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'SchemaError';
  }
}
