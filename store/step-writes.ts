/** The two phases of a step: `open` before the call goes to the backend, complete before the client sees the end. */
import { compressBody, encodeIds, encodeLogprobs } from './codec.ts';
import { StoreError } from './errors.ts';
import type { Database } from './open.ts';
import { RecentCalls } from './recent-calls.ts';
import type { SamplingParams, Usage, VersionSpan } from './schema.ts';
import { requireTransition, stepTransitions, type StepState } from './transitions.ts';

export interface OpenStep {
  readonly id: string;
  readonly callId: string;
  readonly choice: number;
  readonly rolloutId: string;
  readonly attemptId: string;
  readonly agent: string;
  /** Order of the call within its attempt, from 0. */
  readonly sequence: number;
  readonly parentStepId: string | null;
  readonly dialect: string;
  readonly model: string;
  /** Where the proxy makes it; else it comes with the completion. */
  readonly responseId: string | null;
  /** The body as the client sent it, JSON text; on choice 0, null on the others. */
  readonly request: string | Uint8Array | null;
  readonly sampling: SamplingParams | null;
  /** Unix milliseconds. */
  readonly createdAt: number;
}

export interface CompleteStep {
  readonly id: string;
  readonly state: Exclude<StepState, 'open' | 'crashed'>;
  /** Null keeps what the open step has; so for `parentStepId` and `sampling`. */
  readonly responseId: string | null;
  readonly parentStepId?: string | null;
  readonly sampling?: SamplingParams | null;
  /** The body as the client saw it; on choice 0, null on the others. */
  readonly response: string | Uint8Array | null;
  readonly promptIds: Int32Array | null;
  readonly completionIds: Int32Array | null;
  readonly logprobs: Float32Array | null;
  readonly versionSpans: readonly VersionSpan[] | null;
  readonly finishReason: string | null;
  readonly usage: Usage | null;
  readonly queueMs: number | null;
  readonly firstTokenMs: number | null;
  readonly totalMs: number | null;
  readonly quarantineReason: string | null;
  readonly error: string | null;
  readonly endedAt: number;
}

/** Why a step must not be trained on: the reason given, or ids and log-probs that do not belong together; else null. */
export function quarantineReasonOf(step: Pick<CompleteStep, 'completionIds' | 'logprobs' | 'quarantineReason'>): string | null {
  if (step.quarantineReason !== null) return step.quarantineReason;
  return (step.completionIds?.length ?? 0) === (step.logprobs?.length ?? 0) ? null : 'length_mismatch';
}

/** For a caller that owns its connection. The writer thread encodes before its transaction instead. */
export function completeSteps(db: Database, given: readonly CompleteStep[]): void {
  insertCompletions(db, given.map(encodeCompleteStep));
}

/** A completed step's row: what costs time (compression) is done before the transaction. */
export function encodeCompleteStep(step: CompleteStep): EncodedCompletion {
  return {
    ...step,
    parentStepId: step.parentStepId ?? null,
    sampling: json(step.sampling ?? null),
    response: step.response === null ? null : compressBody(step.response),
    logprobs: step.logprobs && encodeLogprobs(step.logprobs),
    versionSpans: json(step.versionSpans),
    usage: json(step.usage),
    quarantineReason: quarantineReasonOf(step),
  };
}

export type EncodedCompletion = Record<string, unknown> & Pick<CompleteStep, 'id' | 'state' | 'parentStepId' | 'promptIds' | 'completionIds'>;

/**
 * All or none. A request that is like an earlier one is stored as what it adds to it.
 * @throws StoreError `conflict` (an id is taken; the rollout or attempt does not exist).
 */
export function openSteps(db: Database, given: readonly OpenStep[]): void {
  const recent = db.prepared(recentCalls);
  db.write(() => {
    for (const step of given) {
      const base = recent.baseFor(step, (id) => db.prepared(isOpened).get(id) !== undefined);
      const request = step.request === null ? null : compressBody(step.request, base?.request);
      db.prepared(insertStep).run({ ...step, request, requestBase: base?.stepId ?? null, sampling: json(step.sampling) });
      recent.opened(step, base);
    }
  });
}

/**
 * All or none. A prompt that begins as an earlier step's prompt + completion is stored as what it adds to them.
 * @throws StoreError `unknown_step`, `illegal_transition` (it is not open any more).
 */
export function insertCompletions(db: Database, encoded: readonly EncodedCompletion[]): void {
  const recent = db.prepared(recentCalls);
  db.write(() => {
    for (const row of encoded) {
      // The choices of a call have one prompt.
      const shared = recent.sharedPrompt(row, encoded[0]?.id, (id) => db.prepared(hasPrompt).get(id) !== undefined);
      const ids = {
        promptIds: row.promptIds && encodeIds(row.promptIds.subarray(shared?.tokens ?? 0)), promptBase: shared?.base.stepId ?? null, sharedTokens: shared?.tokens ?? null,
        completionIds: row.completionIds && encodeIds(row.completionIds),
      };
      if (db.prepared(updateStep).run({ ...row, ...ids }).changes === 0) refuseCompletion(db, row);
      recent.completed(row, shared);
    }
  });
}

/** What the connection's last calls may take. */
const recentBytes = 16 * 1024 * 1024;
const recentCalls = () => new RecentCalls(recentBytes);

function refuseCompletion(db: Database, row: EncodedCompletion): never {
  const found = db.sqlite.prepare<[string], { state: StepState }>('select state from steps where id = ?').get(row.id);
  if (found === undefined) throw new StoreError('unknown_step', `There is no step ${row.id}.`);
  requireTransition(stepTransitions, `Step ${row.id}`, found.state, row.state);
  throw new StoreError('conflict', `Step ${row.id} was changed meanwhile.`);
}

const json = (value: unknown): string | null => (value === null ? null : JSON.stringify(value));

// The two hottest statements of the store are plain SQL: no query builder between the row and SQLite.
// What is remembered may have been rolled back.
const isOpened = (db: Database) => db.sqlite.prepare<[string]>('select 1 from steps where id = ?');
const hasPrompt = (db: Database) => db.sqlite.prepare<[string]>('select 1 from steps where id = ? and prompt_ids is not null');
const insertStep = (db: Database) => db.sqlite.prepare(`
  insert into steps (id, call_id, choice, rollout_id, attempt_id, agent, sequence, parent_step_id, dialect, model, response_id,
    request, request_base, sampling, state, created_at)
  values (@id, @callId, @choice, @rolloutId, @attemptId, @agent, @sequence, @parentStepId, @dialect, @model, @responseId,
    @request, @requestBase, @sampling, 'open', @createdAt)`);
const updateStep = (db: Database) => db.sqlite.prepare(`
  update steps set state = @state, response_id = coalesce(@responseId, response_id),
    parent_step_id = coalesce(@parentStepId, parent_step_id), sampling = coalesce(@sampling, sampling), response = @response,
    prompt_ids = @promptIds, prompt_base = @promptBase, shared_tokens = @sharedTokens, completion_ids = @completionIds, logprobs = @logprobs, version_spans = @versionSpans,
    finish_reason = @finishReason, usage = @usage, queue_ms = @queueMs, first_token_ms = @firstTokenMs, total_ms = @totalMs,
    quarantine_reason = coalesce(quarantine_reason, @quarantineReason), error = @error, ended_at = @endedAt
  where id = @id and state in ('open', 'crashed')`);
