/** What every handler is given beside its own parts: Node's request and response, and who is calling. */
import type { HttpBindings } from '@hono/node-server';
import type { Context } from 'hono';
import type { Principal } from './auth.ts';
import { parseJson, readBody } from './body.ts';
import type { Source } from './capture/identity.ts';
import { ApiError } from './errors.ts';
import type { z } from 'zod';

export interface AppEnv {
  Bindings: HttpBindings;
  Variables: { principal: Principal };
}
export type AppContext = Context<AppEnv>;

export function sourceOf(c: AppContext): Source {
  return {
    urlRollout: c.req.param('rollout') ?? null,
    urlAgent: c.req.param('agent') ?? null,
    headers: c.env.incoming.headers,
    principal: c.get('principal'),
  };
}

/** A small JSON body, parsed. An absent body is `{}`. @throws ApiError 400 with the field as `param`, 413. */
export async function readJson<Schema extends z.ZodType>(c: AppContext, schema: Schema): Promise<z.output<Schema>> {
  const bytes = await readBody(c.env.incoming, maxAdminBodyBytes);
  return parseWith(schema, bytes.length === 0 ? {} : parseJson(bytes));
}

/** Tasks' inputs and round settings are small. */
const maxAdminBodyBytes = 4 * 1024 * 1024;

/** @throws ApiError 400 that names the first field that is wrong. */
export function parseWith<Schema extends z.ZodType>(schema: Schema, value: unknown, prefix = ''): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const param = prefix + (issue?.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0]] : issue?.path ?? []).join('.');
  throw new ApiError(400, `${param === '' ? 'The body' : param}: ${issue?.message ?? 'is not valid'}.`, { code: 'invalid_value', ...(param === '' ? {} : { param }) });
}
