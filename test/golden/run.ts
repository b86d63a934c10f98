import { Unavailable, Mismatch, type Check, type Group } from './check.ts';

export interface Report {
  readonly group: string;
  readonly passed: number;
  /** Why, and how many. */
  readonly skipped: ReadonlyMap<string, number>;
  /** One sentence each. */
  readonly failures: readonly string[];
  /** The largest error as a share of its tolerance, and whose it is. */
  readonly worst: { readonly share: number; readonly check: string };
}

/** Runs a group's checks over a set, one after the other. A group whose files cannot be read is one failure. */
export async function runGroup(group: string, checks: Group, set: string): Promise<Report> {
  let passed = 0;
  let worst = { share: 0, check: '' };
  const skipped = new Map<string, number>();
  const failures: string[] = [];
  const note = (share: number, check: string): void => { if (share > worst.share) worst = { share, check }; };

  const runOne = async ({ name, run }: Check): Promise<void> => {
    try {
      note(await run(), name);
      passed++;
    } catch (error) {
      if (error instanceof Unavailable) {
        skipped.set(error.message, (skipped.get(error.message) ?? 0) + 1);
        return;
      }
      if (error instanceof Mismatch) note(error.share, name);
      failures.push(`${name}: ${sentence(error)}`);
    }
  };

  try {
    for await (const check of checks(set)) await runOne(check);
  } catch (error) {
    failures.push(`the files cannot be read: ${sentence(error)}`);
  }
  if (passed + skipped.size + failures.length === 0) failures.push('the set has no cases');
  return { group, passed, skipped, failures, worst };
}

const sentence = (error: unknown): string => (error instanceof Error ? error.message : String(error)).replaceAll('\n', ' ');
