/** The rollouts that calls may join, as the proxy needs them in memory: where each stands, and what its steps' tokens were. */
import { newId } from '../../store/ids.ts';
import { decodeIds } from '../../store/codec.ts';
import type { Database } from '../../store/open.ts';
import { currentAttempt, findRollout, type Attempt, type Rollout, type StartedRollout } from '../../store/rollouts.ts';
import { SharedContent, type StoredPrompt } from '../../store/shared-content.ts';
import type { StoreWriter } from '../../store/writer.ts';
import { BoundedMap } from './bounded-map.ts';
import { PrefixIndex } from './prefixes.ts';

/** More than calls can be open at once, so what is in use is never forgotten. Anything forgotten is read from the database again. */
const maxTrajectories = 10_000;
/** Steps whose tokens are read back for a trajectory that was forgotten. */
const maxRestoredSteps = 256;

/** One rollout's running attempt. */
export interface Trajectory {
  readonly rolloutId: string;
  readonly attemptId: string;
  readonly mode: Rollout['mode'];
  readonly state: Rollout['state'];
  readonly pinnedVersion: number | null;
  readonly prefixes: PrefixIndex;
  /** The next call's place in the attempt. */
  nextSequence: number;
}

export class Trajectories {
  readonly #known = new BoundedMap<string, Trajectory>(maxTrajectories);
  readonly #db: Database;
  readonly #writer: StoreWriter;

  constructor(db: Database, writer: StoreWriter) {
    this.#db = db;
    this.#writer = writer;
  }

  /** From memory, else from the database; null when there is no such rollout. */
  find(rolloutId: string): Trajectory | null {
    const known = this.#known.get(rolloutId);
    if (known !== undefined) return known;
    const rollout = findRollout(this.#db, rolloutId);
    const attempt = rollout && currentAttempt(this.#db, rolloutId);
    return attempt === undefined || rollout === undefined ? null : this.#restore(rollout, attempt);
  }

  /**
   * Begins a live rollout for a call that could not be placed. Not waited for: the call's steps come after it in the writer's order, and fail if it failed.
   * @throws StoreError `queue_full`
   */
  startLive(rolloutId: string = newId('ro')): Trajectory {
    const attemptId = newId('at');
    this.#writer.record('createRollout', { id: rolloutId, attemptId, mode: 'live' }).catch(() => this.forget(rolloutId));
    return this.#remember({ rolloutId, attemptId, mode: 'live', state: 'running', pinnedVersion: null, prefixes: new PrefixIndex(), nextSequence: 0 });
  }

  /** A rollout that was just created. Its row is readable before its writer says so: a call that read it meanwhile counts on. */
  started({ rollout, attempt }: StartedRollout): Trajectory {
    return this.#known.get(rollout.id) ?? this.#remember(trajectoryOf(rollout, attempt, new PrefixIndex(), 0));
  }

  /** After a rollout ended or another attempt began: the next call reads it anew. */
  forget(rolloutId: string): void {
    this.#known.delete(rolloutId);
  }

  #restore(rollout: Rollout, attempt: Attempt): Trajectory {
    const prefixes = new PrefixIndex();
    const shared = new SharedContent(this.#db);
    for (const row of this.#db.prepared(selectTokens).all(rollout.id, attempt.id, maxRestoredSteps).toReversed()) {
      prefixes.add(row.id, shared.prompt(row) ?? new Int32Array(), decodeIds(row.completionIds));
    }
    const last = this.#db.prepared(selectLastSequence).get(rollout.id, attempt.id)?.last ?? -1;
    return this.#remember(trajectoryOf(rollout, attempt, prefixes, last + 1));
  }

  #remember(trajectory: Trajectory): Trajectory {
    this.#known.set(trajectory.rolloutId, trajectory);
    return trajectory;
  }
}

function trajectoryOf(rollout: Rollout, attempt: Attempt, prefixes: PrefixIndex, nextSequence: number): Trajectory {
  return { rolloutId: rollout.id, attemptId: attempt.id, mode: rollout.mode, state: rollout.state, pinnedVersion: rollout.pinnedVersion, prefixes, nextSequence };
}

type TokensRow = StoredPrompt & { readonly completionIds: Buffer };

const selectTokens = (db: Database) => db.sqlite.prepare<[string, string, number], TokensRow>(`
  select id, prompt_ids as promptIds, prompt_base as promptBase, shared_tokens as sharedTokens, completion_ids as completionIds from steps
  where rollout_id = ? and attempt_id = ? and state = 'complete' and prompt_ids is not null and completion_ids is not null
  order by sequence desc, choice desc limit ?`);
const selectLastSequence = (db: Database) => db.sqlite.prepare<[string, string], { last: number | null }>(
  'select max(sequence) as last from steps where rollout_id = ? and attempt_id = ?');
