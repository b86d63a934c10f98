import type { Config } from './schema.ts';

/** The weights that the trainer trains: a path or an id, or null where the configuration does not say where they are. */
export function trainedModel({ backend }: Config): string | null {
  return 'model' in backend && backend.kind !== 'openai' ? backend.model ?? null : null;
}
