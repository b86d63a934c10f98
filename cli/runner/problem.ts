/** The first failing rollout, told once. */
import type { RolloutResult } from './rollout.ts';

const shownLines = 12;

/** One line, and below it the end of what the agent wrote to stderr. */
export function problemReport(result: RolloutResult): string {
  const lines = result.stderr.trimEnd().split('\n');
  const shown = lines.slice(-shownLines).map((line) => `  | ${line}`);
  const head = `First failing rollout: task ${result.taskId}, ${result.id}: ${result.problem ?? result.state}`;
  return result.stderr.trim() === '' ? head : [head, ...(lines.length > shownLines ? ['  | …'] : []), ...shown].join('\n');
}
