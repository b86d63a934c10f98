/** Who is calling, and what they may do. Keys come from the configuration (compared in constant time) or were minted by the store. */
import { hash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { ApiError } from './errors.ts';

export type Scope = 'agent' | 'admin' | 'metrics';

/** `keyHash` tells callers apart (trajectory inference); it is null for a caller without a key. */
export type Principal =
  | { readonly kind: 'open'; readonly keyHash: string | null }
  | { readonly kind: 'scoped'; readonly keyHash: string; readonly scope: Scope }
  | { readonly kind: 'rollout'; readonly keyHash: string; readonly rolloutId: string };

export interface ConfiguredKey {
  /** The secret, or `env:NAME`. */
  readonly key: string;
  readonly scope: Scope;
}

export interface AuthOptions {
  /** As `readKeys` gives them. */
  readonly keys: readonly ConfiguredKey[];
  /** A minted key by its secret (store `lookupKey`); undefined when it is unknown, revoked or expired. */
  readonly findMinted: (secret: string) => { readonly scope: Scope | 'rollout'; readonly rolloutId: string | null } | undefined;
}

/** How the keys that the store mints begin. */
const mintedPrefix = 'sk-fg-';

export class Auth {
  readonly #keys: readonly { readonly digest: Buffer; readonly scope: Scope }[];
  readonly #findMinted: AuthOptions['findMinted'];

  constructor(options: AuthOptions) {
    this.#keys = options.keys.map(({ key, scope }) => ({ digest: Buffer.from(sha256(key), 'hex'), scope }));
    this.#findMinted = options.findMinted;
  }

  /** @throws ApiError 401 `invalid_api_key` for a wrong key, or for none where one is needed. */
  identify(headers: IncomingHttpHeaders): Principal {
    const key = presentedKey(headers);
    if (key === null) {
      if (this.#keys.length === 0) return { kind: 'open', keyHash: null };
      throw new ApiError(401, 'No API key was sent. Send one as "Authorization: Bearer KEY" (OPENAI_API_KEY in most clients).', { code: 'invalid_api_key' });
    }
    const keyHash = sha256(key);
    if (key.startsWith(mintedPrefix)) {
      const minted = this.#findMinted(key);
      if (minted?.rolloutId != null) return { kind: 'rollout', keyHash, rolloutId: minted.rolloutId };
      if (minted !== undefined && minted.scope !== 'rollout') return { kind: 'scoped', keyHash, scope: minted.scope };
    }
    const digest = Buffer.from(keyHash, 'hex');
    let scope: Scope | null = null;
    // Every key is compared, so that the time taken says nothing about which one matched.
    for (const candidate of this.#keys) if (timingSafeEqual(candidate.digest, digest)) scope = candidate.scope;
    if (scope !== null) return { kind: 'scoped', keyHash, scope };
    // Clients insist on sending some key; on an open server any will do, unless it is one of ours gone stale.
    if (this.#keys.length === 0 && !key.startsWith(mintedPrefix)) return { kind: 'open', keyHash };
    throw new ApiError(401, `Incorrect API key provided: ${key.slice(0, 6)}…. Check OPENAI_API_KEY against the server's configured keys.`, { code: 'invalid_api_key' });
  }
}

/** @throws ApiError 403 `insufficient_scope`. */
export function requireScope(principal: Principal, need: Scope): void {
  if (principal.kind === 'open') return;
  if (principal.kind === 'scoped' && (principal.scope === 'admin' || principal.scope === need)) return;
  if (principal.kind === 'rollout' && need === 'agent') return;
  const has = principal.kind === 'rollout' ? `rollout:${principal.rolloutId}` : principal.scope;
  throw new ApiError(403, `This key has the scope "${has}", and this endpoint needs "${need}". Use a key with that scope.`, { code: 'insufficient_scope' });
}

/** A rollout's key opens only its own rollout. @throws ApiError 403. */
export function requireRollout(principal: Principal, rolloutId: string): void {
  if (principal.kind === 'rollout' && principal.rolloutId !== rolloutId) {
    throw new ApiError(403, `This key belongs to the rollout ${principal.rolloutId} and cannot be used for ${rolloutId}.`, { code: 'insufficient_scope' });
  }
}

/** Keys with their secrets. @throws Error naming the variable when an `env:NAME` key is not set. */
export function readKeys(keys: readonly ConfiguredKey[], env: NodeJS.ProcessEnv): ConfiguredKey[] {
  return keys.map(({ key, scope }) => {
    if (!key.startsWith('env:')) return { key, scope };
    const secret = env[key.slice('env:'.length)];
    if (secret === undefined || secret === '') throw new Error(`server.keys names the environment variable ${key.slice('env:'.length)}, which is not set.`);
    return { key: secret, scope };
  });
}

/** @throws Error with a sentence when a server that others can reach would be open to them. */
export function refuseOpenBind(host: string, keys: readonly ConfiguredKey[]): void {
  if (isLoopback(host) || keys.some((key) => key.scope !== 'metrics')) return;
  throw new Error(`server.host is ${host}, which other machines can reach, and no agent or admin key is configured. Set server.keys, or listen on 127.0.0.1.`);
}

function isLoopback(host: string): boolean {
  if (host === 'localhost' || host === '::1') return true;
  return isIP(host) === 4 && host.startsWith('127.');
}

function presentedKey(headers: IncomingHttpHeaders): string | null {
  const bearer = headers.authorization;
  if (bearer !== undefined) {
    const match = /^Bearer\s+(\S+)\s*$/i.exec(bearer);
    if (match?.[1] !== undefined) return match[1];
  }
  const header = headers['x-api-key'];
  return typeof header === 'string' && header !== '' ? header : null;
}

function sha256(text: string): string {
  return hash('sha256', text, 'hex');
}
