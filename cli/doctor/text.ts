/** What the model is, and whether text survives its tokenizer and its chat template. */
import type { Model } from '../../model/model.ts';
import type { Tokenizer } from '../../model/tokenizer.ts';
import { RunError } from '../failure.ts';

const texts = [
  'Hello, world!', '  two spaces\tand a tab\n\nand lines', '{"name": "calculator", "arguments": {"expression": "12*(3+4)"}}', 'naïve café – “quoted” …', 'numbers 0123456789 3.14159',
];

/** @throws RunError with the first text that comes back changed. */
export function roundTrip(tokenizer: Tokenizer): string {
  for (const text of texts) {
    const back = tokenizer.decode(tokenizer.encode(text));
    if (back !== text) throw new RunError(`${JSON.stringify(text)} comes back as ${JSON.stringify(back)}`);
  }
  return `${tokenizer.vocabSize} tokens; ${texts.length} texts come back as they were`;
}

export function describeModel({ name, path, config, fingerprint, weights }: Model): string {
  const parameters = weights.names().reduce((sum, tensor) => sum + weights.shape(tensor).reduce((product, size) => product * size, 1), 0);
  return `${name} (${path}): ${config.architecture}, ${(parameters / 1e6).toFixed(1)}M parameters, ${config.layers} layers, context ${config.maxPositions}, ${fingerprint.slice(0, 12)}`;
}

/** @throws ChatTemplateError where the template cannot render an ordinary conversation */
export function describeTemplate({ chatTemplate }: Model): string {
  if (chatTemplate.source === '') return 'none: this model cannot read messages (configure backend.chatTemplate)';
  chatTemplate.render({ messages: [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'Hello' }], addGenerationPrompt: true });
  return chatTemplate.usesTools ? 'renders messages and tools' : 'renders messages; it ignores tools (configure backend.chatTemplate to use them)';
}
