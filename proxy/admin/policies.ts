/** /admin/policies: every version, and which one is served. When an answer says that a version is current, it is. */
import { Hono } from 'hono';
import type { Database } from '../../store/open.ts';
import { findPolicy, listPolicies, listPromotions, type Promotion } from '../../store/policies.ts';
import type { StoreWriter } from '../../store/writer.ts';
import type { PolicyBackend } from '../backends/backend.ts';
import { readJson, type AppEnv } from '../context.ts';
import { ApiError } from '../errors.ts';
import type { PolicySwitch } from '../policy-switch.ts';
import { pathNumber } from './query.ts';
import { snakeKeys } from './rows.ts';
import { rollbackSchema } from './wire.ts';

export interface PolicyParts {
  readonly db: Database;
  readonly writer: StoreWriter;
  readonly backend: PolicyBackend;
  readonly policies: PolicySwitch;
}

export function policyRoutes({ db, writer, backend, policies }: PolicyParts): Hono<AppEnv> {
  const switched = async (promotion: Promotion) => {
    await policies.sync();
    return { ...snakeKeys(promotion), object: 'promotion', current_version: backend.currentVersion() };
  };
  return new Hono<AppEnv>()
    .get('/', (c) => c.json({
      object: 'list', data: listPolicies(db).map((policy) => ({ ...snakeKeys(policy), object: 'policy' })), next_cursor: null, current_version: backend.currentVersion(),
      backend: { name: backend.name, ...snakeKeys(backend.capabilities()) },
    }))
    .get('/promotions', (c) => c.json({ object: 'list', data: listPromotions(db).map(snakeKeys), next_cursor: null }))
    .post('/rollback', async (c) => {
      const { version } = await readJson(c, rollbackSchema);
      if (version !== undefined) await policies.ensureLoaded(version);
      return c.json(await switched(await writer.write('rollback', { version })));
    })
    .get('/:version', (c) => {
      const policy = listPolicies(db).find(({ version }) => version === pathNumber(c, 'version'));
      if (policy === undefined) throw unknownPolicy(c.req.param('version'));
      return c.json({ ...snakeKeys(policy), object: 'policy' });
    })
    .post('/:version/promote', async (c) => {
      const version = pathNumber(c, 'version');
      if (findPolicy(db, version) === undefined) throw unknownPolicy(c.req.param('version'));
      // Loaded before it is promoted: a version that cannot be served never becomes current.
      await policies.ensureLoaded(version);
      return c.json(await switched(await writer.write('promote', { version, reason: 'admin' })));
    });
}

function unknownPolicy(version: string): ApiError {
  return new ApiError(404, `There is no policy version ${version}. GET /admin/policies lists them.`, { code: 'unknown_policy' });
}
