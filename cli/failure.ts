/** What a command ends with when it cannot do its work, and how that is said. */
import { CommanderError } from 'commander';
import { ConfigError } from '../config/errors.ts';

/** The command line asks for something that cannot be: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The command was right but its work failed: exit code 1. */
export class RunError extends Error {
  override readonly name = 'RunError';
}

/** Ended by Ctrl-C: exit code 130, as a shell says it. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  constructor() {
    super('Interrupted.');
  }
}

/** Exit code and the one sentence for stderr (null: nothing left to say). */
export function describeFailure(error: unknown, env: Readonly<Record<string, string | undefined>> = process.env): { exitCode: number; message: string | null } {
  // Commander has already written its own sentence (or the help text).
  if (error instanceof CommanderError) return { exitCode: error.exitCode === 0 ? 0 : 2, message: null };
  if (error instanceof UsageError || error instanceof ConfigError) return { exitCode: 2, message: error.message };
  if (error instanceof Interrupted) return { exitCode: 130, message: error.message };
  if (error instanceof RunError) return { exitCode: 1, message: error.message };
  if (env['FULGURITE_DEBUG']) return { exitCode: 1, message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  const message = error instanceof Error ? error.message : String(error);
  return { exitCode: 1, message: `${message.split('\n')[0]} (run with FULGURITE_DEBUG=1 for the stack)` };
}
