/** Splits a command given as one string, so that `--reward "node reward.mjs"` needs no shell. */
import { UsageError } from '../failure.ts';

/** Words by spaces; single and double quotes and backslashes keep them together, as in a shell. Nothing is expanded. */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  const pattern = /\s*((?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+)/gsy;
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    end = match.index + match[0].length;
    words.push((match[1] ?? '').replaceAll(/\\(.)|"((?:[^"\\]|\\.)*)"|'([^']*)'/gs, unquote));
  }
  if (text.slice(end).trim() !== '') throw new UsageError(`The command ${text} has an unclosed quote.`);
  if (words.length === 0) throw new UsageError('The command is empty.');
  return words;
}

function unquote(_match: string, escaped?: string, double?: string, single?: string): string {
  return escaped ?? double?.replaceAll(/\\(["\\$`])/g, '$1') ?? single ?? '';
}
