/**
 * What the writer thread can be asked to do. Each command is called twice: with its argument, before the transaction (this is
 * where answers are compressed), and then with the connection, inside it. Arguments and results are plain data.
 */
import { setAcceleratorState } from './accelerator.ts';
import { addEvent, type NewEvent } from './events.ts';
import { mintKey, revokeKey, type NewKey } from './keys.ts';
import type { Database } from './open.ts';
import { ensureBasePolicy, promote, rollback, type Promote, type Rollback } from './policies.ts';
import { giveReward, type NewReward } from './rewards.ts';
import { createRollout, endRollout, newAttempt, type NewAttempt, type NewRollout, type RolloutEnd } from './rollouts.ts';
import { requestRound, type RoundRequest } from './rounds.ts';
import { encodeCompleteStep, insertCompletions, openSteps, type CompleteStep, type OpenStep } from './step-writes.ts';
import { abandonSteps, markCrashed, supersedeCall, type AbandonedSteps } from './steps.ts';
import type { AcceleratorState } from './transitions.ts';

export const commands = {
  openSteps: (given: readonly OpenStep[]) => (db: Database) => openSteps(db, given),
  completeSteps: (given: readonly CompleteStep[]) => {
    const rows = given.map(encodeCompleteStep);
    return (db: Database) => insertCompletions(db, rows);
  },
  abandonSteps: (given: AbandonedSteps) => (db: Database) => abandonSteps(db, given),
  supersedeCall: (callId: string) => (db: Database) => supersedeCall(db, callId),
  markCrashed: (at: number) => (db: Database) => markCrashed(db, at),
  createRollout: (given: NewRollout) => (db: Database) => createRollout(db, given),
  endRollout: (end: RolloutEnd) => (db: Database) => endRollout(db, end),
  newAttempt: (next: NewAttempt) => (db: Database) => newAttempt(db, next),
  giveReward: (given: NewReward) => (db: Database) => giveReward(db, given),
  mintKey: (given: NewKey) => (db: Database) => mintKey(db, given),
  revokeKey: (id: string) => (db: Database) => revokeKey(db, id),
  ensureBasePolicy: (fingerprint: string | null) => (db: Database) => ensureBasePolicy(db, fingerprint),
  promote: (given: Promote) => (db: Database) => promote(db, given),
  rollback: (given: Rollback) => (db: Database) => rollback(db, given),
  requestRound: (request: RoundRequest) => (db: Database) => requestRound(db, request),
  setAcceleratorState: (state: AcceleratorState) => (db: Database) => setAcceleratorState(db, state),
  addEvent: (given: NewEvent) => (db: Database) => addEvent(db, given),
};

export type CommandName = keyof typeof commands;
export type CommandArgument<Name extends CommandName> = Parameters<(typeof commands)[Name]>[0];
export type CommandResult<Name extends CommandName> = ReturnType<ReturnType<(typeof commands)[Name]>>;

/** A command in the writer thread. Without an id it came from the journal: nobody waits for its outcome. */
export interface PostedCommand { readonly id: number | null; readonly name: CommandName; readonly argument: unknown }

/** `command` with its argument, ready for the transaction. */
export function prepareCommand({ name, argument }: PostedCommand): (db: Database) => unknown {
  // `write` typed the argument by the name; the pair came through one message.
  return (commands[name] as (argument: unknown) => (db: Database) => unknown)(argument);
}
