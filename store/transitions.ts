/** The state machines of the store, as tables, and the one function that enforces them. */
import { StoreError } from './errors.ts';
import type { policyStates, rolloutStates, roundStates, stepStates } from './schema.ts';

export type StepState = (typeof stepStates)[number];
export type RolloutState = (typeof rolloutStates)[number];
export type RoundState = (typeof roundStates)[number];
export type PolicyState = (typeof policyStates)[number];

/** `wanted`: the trainer asks for it; `training`: the servers sleep. */
export type AcceleratorState = 'serving' | 'wanted' | 'training';

type Transitions<State extends string> = Readonly<Record<State, readonly State[]>>;

export const stepTransitions: Transitions<StepState> = {
  open: ['complete', 'client_aborted', 'upstream_error', 'truncated', 'crashed'],
  complete: [],
  client_aborted: [],
  upstream_error: [],
  truncated: [],
  // By a server that starts while this one still has the step open, or before what a killed one recorded of it was found.
  crashed: ['complete', 'client_aborted', 'upstream_error', 'truncated'],
};

/** For rollouts and their attempts. */
export const rolloutTransitions: Transitions<RolloutState> = {
  running: ['succeeded', 'failed', 'timed_out', 'cancelled'],
  succeeded: [],
  failed: [],
  timed_out: [],
  cancelled: [],
};

export const roundTransitions: Transitions<RoundState> = {
  requested: ['running', 'failed'],
  // Back to `requested` when its trainer ends: the next one goes on with it. `rejected`: its numbers did not pass a check.
  running: ['requested', 'published', 'promoted', 'rejected', 'empty', 'failed'],
  published: ['promoted', 'rejected'],
  promoted: [],
  rejected: [],
  empty: [],
  failed: [],
};

/** A promoted version stays promoted when another one becomes current: it can be gone back to. */
export const policyTransitions: Transitions<PolicyState> = {
  candidate: ['promoted', 'rejected'],
  promoted: [],
  rejected: [],
};

/** A trainer that starts gives back what a dead one had; the proxy refuses by `serving`. */
export const acceleratorTransitions: Transitions<AcceleratorState> = {
  serving: ['wanted', 'serving'],
  wanted: ['training', 'serving', 'wanted'],
  training: ['serving'],
};

/** @throws StoreError `illegal_transition`. */
export function requireTransition<State extends string>(table: Transitions<State>, what: string, from: State, to: State): void {
  if (!table[from].includes(to)) throw new StoreError('illegal_transition', `${what} is ${from} and cannot become ${to}.`);
}
