/** What Prometheus sees. One registry per proxy: two in one process do not share counters. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

const seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];

export class Metrics {
  readonly registry = new Registry();

  /** Calls by how they ended: a step's closing state. */
  readonly calls = this.#counter('fulgurite_calls_total', 'Policy calls by closing state.', ['state', 'mode']);
  readonly errors = this.#counter('fulgurite_errors_total', 'Requests answered with an error, by status and error code.', ['status', 'code']);
  readonly retries = this.#counter('fulgurite_retries_total', 'Calls recognised as a retry of a failed one.', []);
  readonly tokens = this.#counter('fulgurite_tokens_total', 'Tokens by kind.', ['kind']);
  readonly quarantined = this.#counter('fulgurite_quarantined_steps_total', 'Steps kept but never trained on, by reason.', ['reason']);
  readonly uncaptured = this.#counter('fulgurite_uncaptured_calls_total', 'Calls answered but not recorded, because the database could not be written.', []);
  readonly rewards = this.#counter('fulgurite_rewards_total', 'Rewards by kind.', ['kind']);
  readonly duration = this.#histogram('fulgurite_call_duration_seconds', 'From the request to the end of the response.');
  readonly firstToken = this.#histogram('fulgurite_first_token_seconds', 'From the request to the first frame.');
  readonly commit = this.#histogram('fulgurite_commit_seconds', 'From the end of the answer to its step being safe: in the journal, or committed.');
  readonly openCalls = this.#gauge('fulgurite_open_calls', 'Calls in flight.', []);
  readonly currentVersion = this.#gauge('fulgurite_policy_version', 'The policy version that new calls are served from.', []);
  readonly swaps = this.#counter('fulgurite_policy_swaps_total', 'Changes of the current policy version, by result.', ['result']);
  readonly rounds = this.#gauge('fulgurite_rounds', 'Training rounds by state.', ['state']);
  readonly lastRound = this.#gauge('fulgurite_last_round', 'Metrics of the newest finished round.', ['metric']);
  readonly lastRoundId = this.#gauge('fulgurite_last_round_id', 'Id of the newest finished round.', []);
  readonly storeQueue = this.#gauge('fulgurite_store_queue', 'Writes that wait for the store\'s writer thread.', []);
  readonly ahead = this.#gauge('fulgurite_store_ahead_entries', 'Recorded writes that are in the journal, and not in the database yet.', []);
  readonly aheadBytes = this.#gauge('fulgurite_store_ahead_bytes', 'Bodies and arrays of those writes, bytes.', []);
  readonly engine = this.#gauge('fulgurite_engine', 'What the policy backend says of itself.', ['stat']);
  readonly exact = this.#gauge('fulgurite_backend_exact', '1 where the policy backend gives token ids and log-probs; 0: its steps are recorded as inexact, and not trained on.', []);
  readonly residentBytes = this.#gauge('fulgurite_resident_memory_bytes', 'Resident memory of the process.', []);

  #counter<L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> {
    return new Counter<L>({ name, help, labelNames, registers: [this.registry] });
  }

  #gauge<L extends string>(name: string, help: string, labelNames: readonly L[]): Gauge<L> {
    return new Gauge<L>({ name, help, labelNames, registers: [this.registry] });
  }

  #histogram(name: string, help: string): Histogram {
    return new Histogram({ name, help, buckets: seconds, registers: [this.registry] });
  }
}
