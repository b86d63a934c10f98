/**
 * The one schema (DESIGN: "What is recorded"). Migrations are generated from this file: `npm run migrations`.
 *
 * Conventions: times are unix milliseconds; token ids are int32 little-endian blobs; log-probs are float32 little-endian
 * blobs; request and response bodies are zstd-compressed UTF-8 JSON.
 */
import { sql } from './drizzle.ts';
import { blob, index, integer, primaryKey, real, sqliteTable, text, uniqueIndex, type AnySQLiteColumn } from './drizzle.ts';

export const rolloutModes = ['train', 'val', 'live'] as const;
export const rolloutStates = ['running', 'succeeded', 'failed', 'timed_out', 'cancelled'] as const;
export const stepStates = ['open', 'complete', 'client_aborted', 'upstream_error', 'truncated', 'crashed'] as const;
export const rewardKinds = ['outcome', 'intermediate'] as const;
export const policyKinds = ['base', 'adapter', 'full'] as const;
export const policyStates = ['candidate', 'promoted', 'rejected'] as const;
export const roundStates = ['requested', 'running', 'published', 'promoted', 'rejected', 'empty', 'failed'] as const;
export const keyScopes = ['agent', 'rollout', 'admin', 'metrics'] as const;

/** One execution of an agent on a task, or one live session. Rollouts of one task form a group. */
export const rollouts = sqliteTable('rollouts', {
  id: text().primaryKey(),
  taskId: text('task_id'),
  mode: text({ enum: rolloutModes }).notNull(),
  state: text({ enum: rolloutStates }).notNull().default('running'),
  /** Serve this rollout from one policy version instead of the current one (validation of a candidate). */
  pinnedVersion: integer('pinned_version'),
  input: text({ mode: 'json' }),
  metadata: text({ mode: 'json' }),
  createdAt: integer('created_at').notNull(),
  endedAt: integer('ended_at'),
}, (t) => [index('rollouts_task').on(t.taskId, t.mode), index('rollouts_created').on(t.createdAt)]);

/** One try at a rollout; a crash or a timeout makes another. */
export const attempts = sqliteTable('attempts', {
  id: text().primaryKey(),
  rolloutId: text('rollout_id').notNull().references(() => rollouts.id),
  number: integer().notNull(),
  state: text({ enum: rolloutStates }).notNull().default('running'),
  detail: text(),
  createdAt: integer('created_at').notNull(),
  endedAt: integer('ended_at'),
}, (t) => [uniqueIndex('attempts_number').on(t.rolloutId, t.number)]);

/** A token range `[from, to)` of the completion that one policy version sampled. */
export type VersionSpan = { version: number; from: number; to: number };
export type SamplingParams = {
  temperature: number; topP: number; topK: number; minP: number; seed: number | null; maxTokens: number; stop: string[];
  /** Missing where it is off (1, 0, 0). */
  repetitionPenalty?: number; frequencyPenalty?: number; presencePenalty?: number;
  /** Logits of some tokens were biased. */
  biased?: true;
  /** A grammar may have held it (`response_format`, a tool that must be called, strict tools). */
  constrained?: true;
};
export type Usage = { promptTokens: number; completionTokens: number };

/** One policy call's choice: observation (prompt ids) → action (completion ids). A call with n > 1 leaves n steps with one `callId`. */
export const steps = sqliteTable('steps', {
  id: text().primaryKey(),
  callId: text('call_id').notNull(),
  choice: integer().notNull().default(0),
  rolloutId: text('rollout_id').notNull().references(() => rollouts.id),
  attemptId: text('attempt_id').notNull().references(() => attempts.id),
  agent: text().notNull().default('default'),
  /** Order of the call within its attempt, from 0. */
  sequence: integer().notNull(),
  /** The step whose prompt + completion is a prefix of this prompt. */
  parentStepId: text('parent_step_id'),
  dialect: text().notNull(),
  model: text().notNull(),
  /** The id that the client was given (`chatcmpl-…`). */
  responseId: text('response_id'),
  sampling: text({ mode: 'json' }).$type<SamplingParams>(),
  versionSpans: text('version_spans', { mode: 'json' }).$type<VersionSpan[]>(),
  finishReason: text('finish_reason'),
  usage: text({ mode: 'json' }).$type<Usage>(),
  queueMs: real('queue_ms'),
  firstTokenMs: real('first_token_ms'),
  totalMs: real('total_ms'),
  state: text({ enum: stepStates }).notNull().default('open'),
  /** Kept, counted, never trained on. */
  quarantineReason: text('quarantine_reason'),
  error: text(),
  createdAt: integer('created_at').notNull(),
  endedAt: integer('ended_at'),
  // The large columns come last: SQLite then reads the small ones without walking a row's overflow pages.
  /** The call's bodies are kept once, on choice 0. */
  request: blob({ mode: 'buffer' }),
  response: blob({ mode: 'buffer' }),
  promptIds: blob('prompt_ids', { mode: 'buffer' }),
  completionIds: blob('completion_ids', { mode: 'buffer' }),
  logprobs: blob({ mode: 'buffer' }),
  /** The step whose request this one is compressed against; null: it is whole. `store/shared-content.ts` reads what is shared. */
  requestBase: text('request_base').references((): AnySQLiteColumn => steps.id),
  /** The step with whose prompt + completion this prompt begins, and in how many tokens; `promptIds` are those after them. */
  promptBase: text('prompt_base').references((): AnySQLiteColumn => steps.id),
  sharedTokens: integer('shared_tokens'),
}, (t) => [
  index('steps_rollout').on(t.rolloutId, t.sequence),
  index('steps_call').on(t.callId),
  index('steps_response').on(t.responseId),
  index('steps_open').on(t.state).where(sql`${t.state} = 'open'`),
]);

/** A number given to a rollout or a step. The newest under one (target, name) is live; earlier ones are history. */
export const rewards = sqliteTable('rewards', {
  id: integer().primaryKey({ autoIncrement: true }),
  rolloutId: text('rollout_id').notNull().references(() => rollouts.id),
  stepId: text('step_id').references(() => steps.id),
  name: text().notNull().default('reward'),
  kind: text({ enum: rewardKinds }).notNull().default('outcome'),
  value: real().notNull(),
  /** Who gave it: `agent`, `command`, `exit_status`, `admin`. */
  source: text().notNull(),
  createdAt: integer('created_at').notNull(),
  supersededAt: integer('superseded_at'),
}, (t) => [
  uniqueIndex('rewards_live_rollout').on(t.rolloutId, t.name).where(sql`${t.supersededAt} is null and ${t.stepId} is null`),
  uniqueIndex('rewards_live_step').on(t.stepId, t.name).where(sql`${t.supersededAt} is null and ${t.stepId} is not null`),
  index('rewards_rollout').on(t.rolloutId),
  index('rewards_step').on(t.stepId),
]);

export const events = sqliteTable('events', {
  id: integer().primaryKey({ autoIncrement: true }),
  rolloutId: text('rollout_id'),
  attemptId: text('attempt_id'),
  kind: text().notNull(),
  data: text({ mode: 'json' }),
  createdAt: integer('created_at').notNull(),
}, (t) => [index('events_rollout').on(t.rolloutId), index('events_kind').on(t.kind)]);

/** Policy versions. `0` is the base model and always exists. */
export const policies = sqliteTable('policies', {
  version: integer().primaryKey(),
  kind: text({ enum: policyKinds }).notNull(),
  state: text({ enum: policyStates }).notNull(),
  parentVersion: integer('parent_version'),
  roundId: integer('round_id'),
  /** Relative to the data directory: `policies/3`. Null for the base model. */
  directory: text(),
  sha256: text(),
  createdAt: integer('created_at').notNull(),
});

/** Every change of the current version, in order; the last row is the current version. Rolling back is one more row. */
export const promotions = sqliteTable('promotions', {
  id: integer().primaryKey({ autoIncrement: true }),
  version: integer().notNull().references(() => policies.version),
  previousVersion: integer('previous_version'),
  /** `initial`, `round`, `admin`, `rollback`. */
  reason: text().notNull(),
  createdAt: integer('created_at').notNull(),
});

/** What a round was computed by: where these are equal, so are the bytes. */
export type RoundEnvironment = { onnxruntime: string; platform: string; cpu: string };

/** One training round. Its row and its `round_steps` are enough to run it again. */
export const rounds = sqliteTable('rounds', {
  id: integer().primaryKey({ autoIncrement: true }),
  state: text({ enum: roundStates }).notNull().default('requested'),
  /** Overrides of the trainer's configuration for this round, and after it started the whole effective configuration. */
  config: text({ mode: 'json' }),
  promote: integer({ mode: 'boolean' }).notNull().default(true),
  seed: integer(),
  /** Null until the steps were chosen. */
  baseVersion: integer('base_version'),
  /** Rewards with a greater id came later and do not count. */
  rewardsThrough: integer('rewards_through'),
  environment: text({ mode: 'json' }).$type<RoundEnvironment>(),
  /** How often a trainer died while it ran. */
  interruptions: integer().notNull().default(0),
  resultVersion: integer('result_version'),
  /** `{phase, done, total}` while running. */
  progress: text({ mode: 'json' }).$type<{ phase: string; done: number; total: number }>(),
  metrics: text({ mode: 'json' }).$type<Record<string, number>>(),
  error: text(),
  requestedAt: integer('requested_at').notNull(),
  startedAt: integer('started_at'),
  endedAt: integer('ended_at'),
});

/** Which step went into which round, with what advantage and weight; or why it was left out. */
export const roundSteps = sqliteTable('round_steps', {
  roundId: integer('round_id').notNull().references(() => rounds.id),
  stepId: text('step_id').notNull().references(() => steps.id),
  /** The step's share of its rollout's return. */
  credit: real(),
  advantage: real(),
  /** The share of the loss that this step's tokens have. */
  weight: real(),
  staleness: integer(),
  leftOutReason: text('left_out_reason'),
  /** Of what training read of the step, so that a change is noticed. Null where it was left out. */
  digest: text(),
}, (t) => [primaryKey({ columns: [t.roundId, t.stepId] }), index('round_steps_step').on(t.stepId)]);

/** API keys, stored as SHA-256. */
export const keys = sqliteTable('keys', {
  id: text().primaryKey(),
  hash: text().notNull(),
  scope: text({ enum: keyScopes }).notNull(),
  rolloutId: text('rollout_id'),
  name: text(),
  createdAt: integer('created_at').notNull(),
  expiresAt: integer('expires_at'),
  revokedAt: integer('revoked_at'),
}, (t) => [uniqueIndex('keys_hash').on(t.hash)]);

/** Facts about this data directory: `store/meta.ts` has the keys. */
export const meta = sqliteTable('meta', { key: text().primaryKey(), value: text().notNull() });
