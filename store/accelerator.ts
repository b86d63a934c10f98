/**
 * Whose the accelerator is where servers and trainer share one, agreed on in the database: the trainer wants it, the proxy gives it when its servers
 * sleep, the trainer gives it back.
 */
import { readMeta, writeMeta } from './meta.ts';
import type { Database } from './open.ts';
import { acceleratorTransitions, requireTransition, type AcceleratorState } from './transitions.ts';

export function acceleratorState(db: Database): AcceleratorState {
  const state = readMeta(db, 'accelerator');
  return state === 'wanted' || state === 'training' ? state : 'serving';
}

/** @throws StoreError `illegal_transition` */
export function setAcceleratorState(db: Database, state: AcceleratorState): void {
  db.write(() => {
    requireTransition(acceleratorTransitions, 'The accelerator', acceleratorState(db), state);
    writeMeta(db, 'accelerator', state);
  });
}
