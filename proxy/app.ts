/** Every route, and the one place that turns errors into responses. */
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { Hono } from 'hono';
import { methodNotAllowed } from 'hono/method-not-allowed';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { unwritable } from '../store/errors.ts';
import { policyRoutes, type PolicyParts } from './admin/policies.ts';
import { giveReward, type RewardParts } from './admin/rewards.ts';
import { rolloutRoutes, type RolloutParts } from './admin/rollouts.ts';
import { roundRoutes, type RoundParts } from './admin/rounds.ts';
import { exportLines, stepRoutes } from './admin/steps.ts';
import { requireScope, type Auth } from './auth.ts';
import { chat, type ChatParts } from './chat.ts';
import type { AppContext, AppEnv } from './context.ts';
import { ApiError, errorBody, toApiError } from './errors.ts';
import { frontPage } from './front-page.ts';
import type { Log } from './log.ts';
import { listModels, findModel } from './models.ts';
import { scrape, type ScrapeParts } from './scrape.ts';

export interface AppParts extends ChatParts, RewardParts, RolloutParts, RoundParts, PolicyParts, ScrapeParts {
  readonly auth: Auth;
  readonly log: Log;
  /** Whether calls can be served, and if not, why. */
  ready(): Promise<{ readonly ok: boolean; readonly detail: string }>;
}

/** Where an OpenAI client's base URL may point. */
const agentPrefixes = ['/v1', '/rollouts/:rollout/v1', '/rollouts/:rollout/agents/:agent/v1'];

export function createApp(parts: AppParts): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.onError((error, c) => answerError(parts, error, c));
  app.notFound((c) => answerError(parts, new ApiError(404, `Unknown request URL: ${c.req.method} ${c.req.path}. GET / lists what is here.`, { code: 'unknown_url' }), c));
  app.use(methodNotAllowed({
    app,
    onMethodNotAllowed: (c, methods) => {
      c.header('allow', methods.join(', '));
      return answerError(parts, new ApiError(405, `${c.req.path} does not take ${c.req.method}. Use ${methods.join(' or ')}.`, { code: 'method_not_allowed' }), c as AppContext); // its own type has the wider environment
    },
  }));

  app.get('/', (c) => c.json(frontPage));
  app.get('/healthz', (c) => c.json({ status: 'ok' }));
  app.get('/readyz', async (c) => {
    const { ok, detail } = await parts.ready();
    return c.json({ status: ok ? 'ready' : 'not_ready', detail }, ok ? 200 : 503);
  });

  for (const path of [...agentPrefixes.map((prefix) => `${prefix}/*`), '/admin/*', '/metrics']) {
    app.use(path, async (c, next) => {
      c.set('principal', parts.auth.identify(c.env.incoming.headers));
      await next();
    });
  }
  for (const prefix of agentPrefixes) {
    app.post(`${prefix}/chat/completions`, (c) => chat(parts, c));
    app.post(`${prefix}/rewards`, (c) => giveReward(parts, c));
    app.get(`${prefix}/models`, (c) => listModels(parts.backend, c));
    app.get(`${prefix}/models/:model{.+}`, (c) => findModel(parts.backend, c));
  }
  app.get('/metrics', (c) => {
    requireScope(c.get('principal'), 'metrics');
    return scrape(parts, c);
  });
  app.use('/admin/*', async (c, next) => {
    requireScope(c.get('principal'), 'admin');
    // Whoever was answered finds their call there.
    await parts.writer.settled();
    await next();
  });
  app.route('/admin/rollouts', rolloutRoutes(parts));
  app.route('/admin/steps', stepRoutes(parts.db));
  app.route('/admin/rounds', roundRoutes(parts));
  app.route('/admin/policies', policyRoutes(parts));
  app.get('/admin/export', (c) => exportLines(parts.db, c));
  return app;
}

/** What a full server says to many, or one whose database cannot be written (the log has that once): counted, not worth a line each. */
const overload: ReadonlySet<string | null> = new Set(['too_many_calls', 'queue_full', 'queue_timeout', 'shutting_down', ...unwritable]);

function answerError({ metrics, log }: AppParts, error: unknown, c: AppContext): Response {
  const failure = toApiError(error);
  const line = `${c.req.method} ${c.req.path}: ${causeOf(failure)}`;
  if (failure.status >= 500 && !overload.has(failure.code)) log.error(line);
  else log.debug(line);
  metrics.errors.inc({ status: failure.status, code: failure.code ?? failure.type });
  // The answer was under way (an export, a stream of events): all that is left is to cut it off.
  if (c.env.outgoing.headersSent) {
    c.env.outgoing.destroy();
    return RESPONSE_ALREADY_SENT;
  }
  if (failure.retryAfter !== null) c.header('retry-after', String(failure.retryAfter));
  // What is left of the body is not read, so the connection cannot be used again.
  if (failure.status === 413) c.header('connection', 'close');
  c.header('content-type', 'application/json');
  return c.body(JSON.stringify(errorBody(failure)), failure.status as ContentfulStatusCode); // an upstream's status can be any number
}

/** For the log: one line of what was expected to happen, the stack of what was not. */
function causeOf(failure: ApiError): string {
  const { cause } = failure;
  return failure.code === 'internal_error' && cause instanceof Error ? cause.stack ?? cause.message : failure.message;
}
