/** Connects to a server that takes and gives token ids; the model's text is read here. */
import type { TokenBackend } from './backend.ts';
import type { TokenEngine } from './engine.ts';
import { openTokenBackend, type OpenedText, type TextSettings } from './open.ts';
import { TokenServer } from './server.ts';

export interface TokenServerSettings extends TextSettings {
  readonly baseUrl: string;
  readonly apiKey?: string | undefined;
  readonly timeoutMs: number;
}

/** A server's first answers compile kernels. */
const startTimeoutMs = 120_000;

/** @throws ModelError or ChatTemplateError where `model` cannot be read, ApiError where the server does not answer or serves another model */
export function connectTokenServer(settings: TokenServerSettings, open: (server: TokenServer, model: OpenedText['model'], signal: AbortSignal) => Promise<TokenEngine>): Promise<TokenBackend> {
  return openTokenBackend(settings, async ({ model }) => {
    const server = new TokenServer({ baseUrl: settings.baseUrl, apiKey: settings.apiKey ?? null, timeoutMs: settings.timeoutMs });
    try {
      return await open(server, model, AbortSignal.timeout(startTimeoutMs));
    } catch (error) {
      await server.close();
      throw error;
    }
  });
}
