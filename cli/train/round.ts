/** Asks the server's trainer for one round and follows it to its end. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AdminClient, RoundRow } from '../client/admin.ts';
import { RunError } from '../failure.ts';

const pollMs = 100;
const swapTimeoutMs = 60_000;

/** Follows the round's event stream; where that ends early, by asking again. @throws RunError when the round failed or was rejected before it had a policy. */
export async function trainRound(client: AdminClient, request: { seed?: number }, signal: AbortSignal, onProgress: (round: RoundRow) => void): Promise<RoundRow> {
  const { id } = await client.startRound({ promote: true, ...request });
  let round = await client.round(id, signal);
  while (!hasEnded(round)) {
    for await (const next of client.roundEvents(id, signal)) {
      round = next;
      onProgress(round);
      if (hasEnded(round)) break;
    }
    if (!hasEnded(round)) {
      await sleep(pollMs, undefined, { signal });
      round = await client.round(id, signal);
    }
  }
  // Rejected without a version: its numbers were refused before there was one, and so will be those of the next round.
  const refused = round.state === 'failed' || (round.state === 'rejected' && round.result_version === null);
  if (refused) throw new RunError(`Round ${id} ${round.state === 'failed' ? 'failed' : 'was rejected'}: ${round.error ?? 'the trainer gave no reason'}`);
  if (round.state === 'promoted' && round.result_version !== null) await untilServed(client, round.result_version, signal);
  return round;
}

function hasEnded(round: RoundRow): boolean {
  return round.state !== 'requested' && round.state !== 'running';
}

/** The trainer has promoted it; the proxy loads it and swaps. */
async function untilServed(client: AdminClient, version: number, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + swapTimeoutMs;
  while ((await client.policies()).current_version !== version) {
    if (performance.now() > deadline) throw new RunError(`Policy version ${version} was promoted but the server did not start to serve it within ${swapTimeoutMs / 1000} s; see the server's log.`);
    await sleep(20, undefined, { signal });
  }
}
