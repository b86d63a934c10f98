/** JSON over HTTP to a Fulgurite server. */
import { RunError } from '../failure.ts';

/** An answer that is not 2xx. The message is the server's own sentence. */
export class ServerError extends RunError {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export interface Connection {
  /** `http://127.0.0.1:8700`, without a slash at the end. */
  readonly url: string;
  readonly apiKey: string | undefined;
}

export interface Call {
  readonly method?: 'GET' | 'POST';
  readonly body?: unknown;
  /** A rollout's own key instead of the connection's. */
  readonly signal?: AbortSignal | undefined;
  readonly accept?: string;
}

/** The open response. @throws ServerError for an answer that is not 2xx, RunError when the server cannot be reached. */
export async function request(connection: Connection, path: string, call: Call = {}): Promise<Response> {
  const headers: Record<string, string> = { accept: call.accept ?? 'application/json' };
  if (connection.apiKey !== undefined) headers['authorization'] = `Bearer ${connection.apiKey}`;
  if (call.body !== undefined) headers['content-type'] = 'application/json';
  let response: Response;
  try {
    response = await fetch(`${connection.url}${path}`, {
      method: call.method ?? 'GET',
      headers,
      ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
      ...(call.signal === undefined ? {} : { signal: call.signal }),
    });
  } catch (error) {
    call.signal?.throwIfAborted();
    throw new RunError(`Cannot reach a server at ${connection.url}: ${causeOf(error)}. Start one with "fulgurite serve", or name it with --url.`, { cause: error });
  }
  if (!response.ok) throw new ServerError(response.status, await errorMessage(response, path));
  return response;
}

/** The body, parsed. `T` is the server's documented answer (proxy/admin/wire.ts). */
export async function json<T>(connection: Connection, path: string, call: Call = {}): Promise<T> {
  const response = await request(connection, path, call);
  return await response.json() as T; // the same program wrote both sides
}

async function errorMessage(response: Response, path: string): Promise<string> {
  const text = await response.text();
  const said = serverMessage(text);
  if (said !== undefined) return response.status === 401 || response.status === 403 ? `${said} Give a key with --api-key.` : said;
  return `The server answered ${path} with ${response.status}${text === '' ? '' : `: ${text.slice(0, 200)}`}.`;
}

/** `{"error": {"message"}}` of the OpenAI shape. */
function serverMessage(text: string): string | undefined {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body !== 'object' || body === null || !('error' in body)) return undefined;
    const { error } = body;
    return typeof error === 'object' && error !== null && 'message' in error && typeof error.message === 'string' ? error.message : undefined;
  } catch {
    return undefined; // not JSON: the caller shows the text
  }
}

function causeOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (cause instanceof Error && 'code' in cause && cause.code === 'ECONNREFUSED') return 'connection refused';
  return cause instanceof Error ? cause.message : String(cause);
}
