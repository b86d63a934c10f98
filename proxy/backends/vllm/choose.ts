/** Which replica takes a call. Pure. */

export interface Choosable {
  /** Calls that it is answering. */
  readonly outstanding: number;
  /** When it was chosen last; counts up. */
  readonly chosenAt: number;
}

/**
 * The replica that a rollout's earlier calls went to, whose cache holds their prefix; else the one with the fewest open calls, and of several
 * the one that has waited longest for one.
 *
 * @param ready replicas that may take the call
 * @returns null where there is none
 */
export function choose<Replica extends Choosable>(ready: readonly Replica[], earlier: Replica | undefined): Replica | null {
  if (earlier !== undefined && ready.includes(earlier)) return earlier;
  return ready.reduce<Replica | null>((best, replica) => (best === null || before(replica, best) ? replica : best), null);
}

const before = (a: Choosable, b: Choosable): boolean =>
  a.outstanding < b.outstanding || (a.outstanding === b.outstanding && a.chosenAt < b.chosenAt);
