/** What a command ends with when it cannot do its work, and how that is said. */
import { CommanderError } from 'commander';
import { ConfigError } from '../config/errors.ts';
import { ModelError } from '../model/error.ts';
import { EngineError } from '../engine/engine.ts';
import { ChatTemplateError } from '../model/chat/template.ts';
import { ApiError } from '../proxy/errors.ts';
import { TrainerError } from '../trainer/error.ts';
import { StoreError } from '../store/errors.ts';

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

/** Errors of the other parts whose messages are sentences for people. */
const families = [RunError, EngineError, TrainerError, ChatTemplateError, ApiError];
/** The data directory that was named is not one that can be used. */
const wrongDirectory: ReadonlySet<StoreError['code']> = new Set(['not_found', 'not_a_database', 'newer_schema', 'older_schema', 'model_mismatch']);

/** Exit code and the one sentence for stderr (null: nothing left to say). */
export function describeFailure(error: unknown, env: Readonly<Record<string, string | undefined>> = process.env): { exitCode: number; message: string | null } {
  // Commander has already written its own sentence (or the help text).
  if (error instanceof CommanderError) return { exitCode: error.exitCode === 0 ? 0 : 2, message: null };
  if (error instanceof UsageError || error instanceof ConfigError || error instanceof ModelError) return { exitCode: 2, message: error.message };
  if (error instanceof Interrupted) return { exitCode: 130, message: error.message };
  if (error instanceof StoreError) return { exitCode: wrongDirectory.has(error.code) ? 2 : 1, message: error.message };
  if (isAbort(error)) return { exitCode: 130, message: 'Interrupted.' };
  if (families.some((family) => error instanceof family) && error instanceof Error) return { exitCode: 1, message: error.message };
  if (env['FULGURITE_DEBUG']) return { exitCode: 1, message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  const message = error instanceof Error ? error.message : String(error);
  return { exitCode: 1, message: `${message.split('\n')[0]} (run with FULGURITE_DEBUG=1 for the stack)` };
}

/** A wait that was cut off by an interrupt. */
function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}
