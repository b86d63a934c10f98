/** Keeps the backend serving the version that the store says is current. The only caller of `loadPolicy` and `setCurrent`. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Database } from '../store/open.ts';
import { currentPromotion, findPolicy, type Policy } from '../store/policies.ts';
import type { PolicyBackend } from './backends/backend.ts';
import { ApiError } from './errors.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

export interface PolicySwitchParts {
  readonly backend: PolicyBackend;
  readonly db: Database;
  readonly metrics: Metrics;
  readonly log: Log;
}

export class PolicySwitch {
  readonly #parts: PolicySwitchParts;
  /** The base model is always there. */
  readonly #loaded = new Map<number, Promise<void>>([[0, Promise.resolve()]]);
  /** Rollouts that are served from one version, by version. */
  readonly #pins = new Map<number, Set<string>>();
  /** On its way to being current: not unused, though nothing is served from it yet. */
  #next: number | null = null;
  #appliedPromotion: number | null = null;
  #failedPromotion: number | null = null;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(parts: PolicySwitchParts) {
    this.#parts = parts;
  }

  /**
   * Makes the backend serve the last promoted version. Does nothing when it does already; calls take turns.
   * @throws ApiError 409 when that version cannot be loaded; the version served before stays.
   */
  sync(): Promise<void> {
    const next = this.#turn.then(() => this.#applyCurrent());
    // The next turn comes whatever became of this one; its caller has the error.
    this.#turn = next.catch(() => undefined);
    return next;
  }

  /** As `sync`, for a watcher: a promotion that failed is reported once and not tried again. */
  async follow(): Promise<void> {
    const promotion = currentPromotion(this.#parts.db);
    if (promotion === undefined || promotion.id === this.#appliedPromotion || promotion.id === this.#failedPromotion) return;
    try {
      await this.sync();
    } catch (error) {
      this.#failedPromotion = promotion.id;
      this.#parts.metrics.swaps.inc({ result: 'failed' });
      this.#parts.log.error(`Policy version ${promotion.version} was promoted but cannot be served; version ${this.#parts.backend.currentVersion()} stays. ${messageOf(error)}`);
    }
  }

  /** @throws ApiError 404 `unknown_policy`, 409 when its files are missing or belong to another model. */
  ensureLoaded(version: number): Promise<void> {
    const loaded = this.#loaded.get(version);
    if (loaded !== undefined) return loaded;
    const loading = this.#load(version).catch((error: unknown) => {
      this.#loaded.delete(version);
      throw error;
    });
    this.#loaded.set(version, loading);
    return loading;
  }

  /** Keeps a version loaded for one rollout. @throws as `ensureLoaded`. */
  async pin(version: number, rolloutId: string): Promise<void> {
    const rollouts = this.#pins.get(version) ?? new Set();
    this.#pins.set(version, rollouts.add(rolloutId));
    await this.ensureLoaded(version);
  }

  unpin(version: number, rolloutId: string): void {
    const rollouts = this.#pins.get(version);
    rollouts?.delete(rolloutId);
    if (rollouts?.size === 0) this.#pins.delete(version);
    this.#unloadUnused();
  }

  async #applyCurrent(): Promise<void> {
    const { backend, db, metrics, log } = this.#parts;
    const promotion = currentPromotion(db);
    if (promotion === undefined || promotion.id === this.#appliedPromotion) return;
    const { version } = promotion;
    this.#next = version;
    await this.ensureLoaded(version);
    await backend.setCurrent(version);
    this.#appliedPromotion = promotion.id;
    metrics.currentVersion.set(version);
    metrics.swaps.inc({ result: 'applied' });
    log.info(`serving policy version ${version} (${promotion.reason})`);
    this.#unloadUnused();
  }

  async #load(version: number): Promise<void> {
    const { backend, db } = this.#parts;
    const policy = findPolicy(db, version);
    if (policy === undefined) throw new ApiError(404, `There is no policy version ${version}. GET /admin/policies lists them.`, { code: 'unknown_policy' });
    if (policy.kind === 'base' || policy.directory === null) return;
    if (!backend.capabilities().policies) {
      throw new ApiError(409, `The backend "${backend.name}" serves one policy and cannot load version ${version}. Use the embedded backend or vLLM servers (backend.kind: vllm), or roll back to version 0.`, { code: 'policies_unsupported' });
    }
    const directory = join(db.dataDir, policy.directory);
    requireFiles(policy, directory, backend.fingerprint);
    await backend.loadPolicy({ version, kind: policy.kind, directory });
  }

  /** Not awaited by anyone: a version leaves when its last request has ended, which can be long after. */
  #unloadUnused(): void {
    const { backend, log } = this.#parts;
    for (const version of this.#loaded.keys()) {
      if (version === 0 || version === backend.currentVersion() || version === this.#next || this.#pins.has(version)) continue;
      this.#loaded.delete(version);
      backend.unloadPolicy(version).catch((error: unknown) => { log.error(`unloading policy version ${version} failed: ${messageOf(error)}`); });
    }
  }
}

/** @throws ApiError 409 that says what is missing or whose it is. */
function requireFiles(policy: Policy, directory: string, fingerprint: string | undefined): void {
  const manifest = join(directory, 'policy.json');
  if (!existsSync(manifest)) {
    throw new ApiError(409, `Policy version ${policy.version} has no files at ${directory}. Put them back, or roll back: fulgurite policies rollback.`, { code: 'missing_policy' });
  }
  const { model } = JSON.parse(readFileSync(manifest, 'utf8')) as { model?: unknown }; // written by our own trainer
  if (fingerprint !== undefined && model !== fingerprint) {
    throw new ApiError(409, `Policy version ${policy.version} at ${directory} was trained from another base model (${String(model)}) than the one being served (${fingerprint}). Serve that model, or use another dataDir.`, { code: 'model_mismatch' });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
