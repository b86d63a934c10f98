/**
 * Errors that a client is told about, and the one place that turns any error into an OpenAI-shaped response
 * (https://platform.openai.com/docs/guides/error-codes). Messages say what to do; stack traces never leave the process.
 */
import { EngineError } from '../engine/engine.ts';
import { StoreError, type StoreErrorCode } from '../store/errors.ts';

export type ErrorType =
  | 'invalid_request_error' | 'authentication_error' | 'permission_error' | 'not_found_error' | 'conflict_error'
  | 'rate_limit_error' | 'server_error' | 'overloaded_error' | 'upstream_error';

export interface ErrorBody {
  readonly error: { readonly message: string; readonly type: string; readonly param: string | null; readonly code: string | null };
}

/** `status` is the HTTP status, `code` OpenAI's machine-readable name, `param` the offending field (`messages[0].role`). */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string | null;
  readonly type: ErrorType;
  readonly param: string | null;
  /** Seconds, sent as `retry-after`. */
  readonly retryAfter: number | null;

  constructor(status: number, message: string, options: { code?: string; type?: ErrorType; param?: string; retryAfter?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = 'ApiError';
    this.status = status;
    this.code = options.code ?? null;
    this.type = options.type ?? typeOfStatus(status);
    this.param = options.param ?? null;
    this.retryAfter = options.retryAfter ?? null;
  }
}

/** An upstream server's own error: status and body go to the client as they came. */
export class UpstreamError extends ApiError {
  /** The upstream's JSON body, or null where it sent none. */
  readonly body: unknown;

  constructor(status: number, message: string, body: unknown, options: { code?: string; retryAfter?: number; cause?: unknown } = {}) {
    super(status, message, { type: 'upstream_error', ...options });
    this.name = 'UpstreamError';
    this.body = body;
  }
}

function typeOfStatus(status: number): ErrorType {
  switch (status) {
    case 401: return 'authentication_error';
    case 403: return 'permission_error';
    case 404: return 'not_found_error';
    case 409: return 'conflict_error';
    case 429: return 'rate_limit_error';
    case 503: return 'overloaded_error';
    default: return status >= 500 ? 'server_error' : 'invalid_request_error';
  }
}

const engineStatus: Readonly<Record<EngineError['code'], number>> = {
  context_length_exceeded: 400, invalid_grammar: 400, queue_full: 503, queue_timeout: 503, unknown_version: 503, out_of_memory: 503, engine_failed: 500,
};

/** Codes that are not the store's failure but an answer about what was asked for; everything else is 503. */
const storeStatus: Readonly<Partial<Record<StoreErrorCode, number>>> = {
  unknown_rollout: 404, unknown_attempt: 404, unknown_step: 404, unknown_response: 404, unknown_policy: 404, unknown_round: 404,
  unknown_key: 404, unknown_cursor: 400,
  illegal_transition: 409, conflict: 409, rejected_policy: 409, missing_policy: 409, no_previous_version: 409, model_mismatch: 409,
};

/** Any thrown value → what the client may know of it. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof EngineError) {
    const status = engineStatus[error.code];
    return new ApiError(status, error.message, {
      code: error.code, cause: error,
      ...(status === 503 ? { retryAfter: 1 } : {}),
      ...(error.code === 'context_length_exceeded' ? { param: 'messages' } : {}),
    });
  }
  if (error instanceof StoreError) {
    const status = storeStatus[error.code] ?? 503;
    return new ApiError(status, error.message, { code: error.code, cause: error, ...(status === 503 ? { retryAfter: 1 } : {}) });
  }
  return new ApiError(500, 'Internal error. The server\'s log says more; nothing about your request is lost.', { code: 'internal_error', cause: error });
}

/** The JSON body for an error. An upstream's own body passes unchanged where it is an object. */
export function errorBody(error: ApiError): unknown {
  if (error instanceof UpstreamError && typeof error.body === 'object' && error.body !== null) return error.body;
  return { error: { message: error.message, type: error.type, param: error.param, code: error.code } } satisfies ErrorBody;
}
