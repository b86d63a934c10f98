/** What a micro-batch will take, against what there is: whether the forward pass can be kept for the backward pass, or must be computed again there. */
import type { TrainerConfig } from '../../config/schema.ts';
import { TrainerError } from '../error.ts';
import type { MemoryPlan } from '../learner.ts';

export type MemoryOptions = Pick<TrainerConfig, 'recompute' | 'maxMemoryMb'>;

/** Bytes of a learner whatever it computes. */
export interface Standing {
  /** Of the process before. */
  readonly resident: number;
  /** Frozen weights, mapped from their file. */
  readonly weights: number;
  /** Trained tensors. */
  readonly parameters: number;
}

/** Gradients as the runtime gives them and as they are summed, and the optimizer's two moments: so many times the parameters. */
const PER_PARAMETER = 4;
/** A session of the runtime: 75 MB were measured for a graph of 6,000 nodes. */
const SESSION_BYTES = 100 * 2 ** 20;
/** The runtime's arena never gives back, and comes to hold up to a third more than its tensors ever took at once (measured at 8×512 tokens). */
const ARENA_SLACK = 1.35;

/** Resident memory of the process at its peak, bytes. @param tensors what a run's tensors take at once (`peakBytes`) */
export const residentPeak = ({ resident, weights, parameters }: Standing, tensors: number): number =>
  resident + weights + PER_PARAMETER * parameters + SESSION_BYTES + ARENA_SLACK * tensors;

/** What the process may take: as configured, or what it has and what the machine (or its container) has left. */
export const availableBytes = ({ resident }: Standing, { maxMemoryMb }: MemoryOptions): number =>
  (maxMemoryMb === undefined ? resident + process.availableMemory() : maxMemoryMb * 2 ** 20);

/**
 * Computes the forward pass again during the backward pass: always, never, or only where keeping it would not fit.
 * @param needs peak of the process either way, bytes
 * @throws TrainerError `not_enough_memory`
 */
export function planMemory({ recompute }: MemoryOptions, needs: { readonly keeping: () => number; readonly recomputing: () => number }, available: number): MemoryPlan {
  const again = recompute === 'always' || (recompute === 'auto' && needs.keeping() > available);
  const peakBytes = again ? needs.recomputing() : needs.keeping();
  if (peakBytes <= available) return { recompute: again, peakBytes };
  const instead = recompute === 'never' && needs.recomputing() <= available ? `set trainer.recompute to auto (then ${mebibytes(needs.recomputing())} are enough)` : 'lower trainer.tokensPerMicroBatch';
  throw new TrainerError('not_enough_memory', `Training on a micro-batch of this round would take ${mebibytes(peakBytes)} of memory, and ${mebibytes(available)} are there: ${instead}, or raise trainer.maxMemoryMb.`);
}

const mebibytes = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`;
