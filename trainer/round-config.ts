import { z } from 'zod';
import { type TrainerConfig, trainerSchema } from '../config/schema.ts';
import { TrainerError } from './error.ts';

/**
 * The trainer's configuration with a round's overrides laid over it, key by key; a list replaces a list, and a section of another `name` (another algorithm)
 * replaces the section.
 * @param overrides as `POST /admin/rounds` was given them: any JSON, or null
 * @throws TrainerError `bad_config` naming the keys that are wrong
 */
export function effectiveConfig(config: TrainerConfig, overrides: unknown): TrainerConfig {
  const parsed = trainerSchema.safeParse(overlay(config, overrides ?? {}));
  if (parsed.success) return parsed.data;
  throw new TrainerError('bad_config', `The round's config is wrong: ${z.prettifyError(parsed.error).replaceAll(/\s*\n\s*/g, ' ')}.`);
}

function overlay(base: unknown, over: unknown): unknown {
  if (!isRecord(base) || !isRecord(over)) return over;
  if (over['name'] !== undefined && over['name'] !== base['name']) return over;
  return { ...base, ...Object.fromEntries(Object.entries(over).map(([key, value]) => [key, overlay(base[key], value)])) };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
