/** Whether a command can be started at all: asked before any rollout exists. */
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { UsageError } from '../failure.ts';

/** @throws UsageError in one sentence when the program does not exist or may not be executed. */
export function requireExecutable(command: string, path: string = process.env['PATH'] ?? ''): void {
  if (command.includes('/')) {
    if (isExecutable(command)) return;
    throw new UsageError(`Cannot start ${command}: ${isFile(command) ? 'the file is not executable' : 'there is no such file'}.`);
  }
  if (path.split(delimiter).some((directory) => isExecutable(join(directory, command)))) return;
  throw new UsageError(`Cannot start ${command}: no such program in PATH.`);
}

function isExecutable(path: string): boolean {
  if (!isFile(path)) return false;
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false; // the question is whether it may be executed; the answer is no
  }
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}
