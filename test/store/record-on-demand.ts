/** A process for the tests that kill it: records as many steps as a line of its input says, and prints their ids once they are acknowledged. */
import { createInterface } from 'node:readline';
import { startWriter } from '../../store/writer.ts';
import { completeStep, openStep } from './rows.ts';

const writer = await startWriter({ dataDir: process.argv[2] ?? '' });
const started = await writer.write('createRollout', { mode: 'train' });
process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  const ids: string[] = [];
  for (let n = 0; n < Number(line); n++) {
    const step = openStep(started, { sequence: n });
    void writer.record('openSteps', [step]);
    await writer.record('completeSteps', [completeStep(step.id)]);
    ids.push(step.id);
  }
  process.stdout.write(`${ids.join()}\n`);
}
await writer.close();
