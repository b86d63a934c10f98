/** What the admin endpoints and `/v1/rewards` read: parsed once, at the door. Field names are snake_case on the wire. */
import { z } from 'zod';
import { rewardKinds, rolloutModes, rolloutStates } from '../../store/schema.ts';

const endedStates = rolloutStates.filter((state) => state !== 'running');

/** POST /admin/rollouts. `version` pins the rollout to one policy version (validation of a candidate). */
export const createRolloutSchema = z.strictObject({
  task_id: z.string().min(1).max(512).optional(),
  mode: z.enum(rolloutModes).default('train'),
  input: z.json().optional(),
  metadata: z.record(z.string(), z.json()).optional(),
  version: z.number().int().nonnegative().optional(),
});

/** POST /admin/rollouts/:id/end. */
export const endRolloutSchema = z.strictObject({
  state: z.enum(endedStates).default('succeeded'),
  detail: z.string().max(8192).optional(),
});

/** POST /admin/rollouts/:id/attempts: ends the running attempt with this state and starts the next one. */
export const newAttemptSchema = z.strictObject({
  state: z.enum(endedStates).default('failed'),
  detail: z.string().max(8192).optional(),
});

/** POST /admin/rounds. `config` overrides the trainer's settings for this round (camelCase, as in the configuration file). */
export const createRoundSchema = z.strictObject({
  promote: z.boolean().optional(),
  seed: z.number().int().optional(),
  config: z.record(z.string(), z.json()).default({}),
});

/** POST /admin/policies/rollback. Without a version: the one that was current before. */
export const rollbackSchema = z.strictObject({ version: z.number().int().nonnegative().optional() });

/** POST /v1/rewards. The target is a step, a response id (of choice 0 unless said), or a rollout: the URL's or the key's if not named. */
export const rewardSchema = z.strictObject({
  value: z.number(),
  name: z.string().min(1).max(128).default('reward'),
  kind: z.enum(rewardKinds).optional(),
  source: z.enum(['agent', 'command', 'exit_status', 'admin']).optional(),
  rollout: z.string().optional(),
  step: z.string().optional(),
  response_id: z.string().optional(),
  choice: z.number().int().nonnegative().optional(),
}).refine((body) => [body.rollout, body.step, body.response_id].filter((target) => target !== undefined).length <= 1, {
  message: 'name one target: rollout, step or response_id', path: ['rollout'],
});

export type RewardBody = z.infer<typeof rewardSchema>;

/** POST /admin/rollouts answers with this (201). `base_url` is a path: put the server's address before it. */
export interface CreatedRollout {
  readonly id: string;
  readonly object: 'rollout';
  readonly attempt_id: string;
  readonly base_url: string;
  /** Shown once; stored hashed. */
  readonly api_key: string;
}

/** Every list. `next_cursor` goes back as `?cursor=`; null at the end. */
export interface Page<T> {
  readonly object: 'list';
  readonly data: readonly T[];
  readonly next_cursor: string | null;
}
