/** The way every command is made: errors as one sentence and exit code 2, help with an example. */
import { Command, InvalidArgumentError } from 'commander';

/** `example` is the part after `fulgurite`. */
export function newCommand(name: string, summary: string, example: string): Command {
  return new Command(name)
    .description(summary)
    .addHelpText('after', `\nExample:\n  $ fulgurite ${example}`)
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(`${oneSentence(text)}\n`) });
}

/** "error: unknown option '--prot'\n(Did you mean --port?)" → "Unknown option '--prot' (did you mean --port?)." */
function oneSentence(text: string): string {
  const [first = '', ...rest] = text.trim().replace(/^error: /, '').split('\n');
  const hint = rest.map((line) => line.trim()).join(' ').replace(/^\(Did/, '(did');
  const sentence = `${first.charAt(0).toUpperCase()}${first.slice(1)}${hint === '' ? '' : ` ${hint}`}`;
  return /[.?!]$/.test(sentence) ? sentence : `${sentence}.`;
}

export function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('It must be a whole number of at least 1.');
  return value;
}

export function naturalNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isSafeInteger(value) || value < 0) throw new InvalidArgumentError('It must be a whole number of at least 0.');
  return value;
}

export function positiveNumber(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError('It must be a number above 0.');
  return value;
}

export function finiteNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('It must be a number.');
  return value;
}

export function oneOf<const Value extends string>(values: readonly Value[]): (text: string) => Value {
  return (text) => {
    const value = values.find((candidate) => candidate === text);
    if (value === undefined) throw new InvalidArgumentError(`It must be one of ${values.join(', ')}.`);
    return value;
  };
}

export function collect(value: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, value];
}
