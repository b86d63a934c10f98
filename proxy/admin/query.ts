/** Query strings of the list endpoints. */
import { z } from 'zod';
import { rolloutModes, rolloutStates, roundStates, stepStates } from '../../store/schema.ts';
import { parseWith, type AppContext } from '../context.ts';

const page = {
  limit: z.coerce.number().int().min(1).max(500).default(50),
  cursor: z.string().min(1).optional(),
  order: z.enum(['newest', 'oldest']).default('newest'),
};
const flag = z.enum(['true', 'false']).transform((text) => text === 'true').optional();

export const rolloutQuery = z.strictObject({
  ...page, mode: z.enum(rolloutModes).optional(), state: z.enum(rolloutStates).optional(), task_id: z.string().optional(),
});
export const stepQuery = z.strictObject({
  ...page, rollout: z.string().optional(), attempt: z.string().optional(), call: z.string().optional(), agent: z.string().optional(),
  state: z.enum(stepStates).optional(), quarantined: flag,
});
export const roundQuery = z.strictObject({ ...page, cursor: z.string().regex(/^\d+$/, 'must be a next_cursor').optional(), state: z.enum(roundStates).optional() });
export const exportQuery = z.strictObject({
  round: z.coerce.number().int().optional(), version: z.coerce.number().int().optional(), rollout: z.string().optional(),
  mode: z.enum(rolloutModes).optional(), since: z.coerce.number().int().optional(),
});

/** @throws ApiError 400 with the parameter's name. */
export function readQuery<Schema extends z.ZodType>(c: AppContext, schema: Schema): z.output<Schema> {
  return parseWith(schema, c.req.query());
}

/** A whole number in the path. @throws ApiError 400. */
export function pathNumber(c: AppContext, name: string): number {
  return parseWith(z.object({ [name]: z.coerce.number().int().nonnegative() }), { [name]: c.req.param(name) })[name] ?? 0;
}
