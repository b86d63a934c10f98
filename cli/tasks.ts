/** Task files: JSON Lines, one task a line. */
import { readFileSync } from 'node:fs';
import { UsageError } from './failure.ts';

export interface Task {
  /** The task's own `id`, else its line number. Rollouts of one id form a group. */
  readonly id: string;
  /** The line's JSON: what the agent gets. */
  readonly input: unknown;
}

/** @throws UsageError in one sentence: the file, the line, what is wrong. */
export function readTasks(file: string): Task[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error && 'code' in error && error.code === 'ENOENT' ? 'there is no such file' : String(error);
    throw new UsageError(`Cannot read the tasks ${file}: ${reason}.`, { cause: error });
  }
  return parseTasks(text, file);
}

/** Blank lines are skipped. A task without an `id` is named by its line: `line-3`. */
export function parseTasks(text: string, file: string): Task[] {
  const tasks: Task[] = [];
  const lineOf = new Map<string, number>();
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const where = `${file}, line ${index + 1}`;
    const input = parseLine(line, where);
    const id = taskId(input, where) ?? `line-${index + 1}`;
    const earlier = lineOf.get(id);
    if (earlier !== undefined) throw new UsageError(`${where}: the id "${id}" is already used on line ${earlier}.`);
    lineOf.set(id, index + 1);
    tasks.push({ id, input });
  }
  if (tasks.length === 0) throw new UsageError(`${file} has no tasks: write one JSON value a line, for example {"id": "t1", "question": "…"}.`);
  return tasks;
}

function parseLine(line: string, where: string): unknown {
  try {
    return JSON.parse(line);
  } catch (error) {
    throw new UsageError(`${where} is not JSON: ${error instanceof Error ? error.message : String(error)}.`, { cause: error });
  }
}

function taskId(input: unknown, where: string): string | undefined {
  if (typeof input !== 'object' || input === null || !('id' in input) || input.id === undefined || input.id === null) return undefined;
  if (typeof input.id === 'number') return String(input.id);
  if (typeof input.id === 'string' && input.id !== '' && input.id.length <= 512) return input.id;
  throw new UsageError(`${where}: "id" must be a number or a string of 1 to 512 characters.`);
}
