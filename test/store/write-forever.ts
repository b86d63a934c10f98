/** A process for the tests that kill it: writes steps through the writer thread and prints the id of each one it has acknowledged. */
import { startWriter } from '../../store/writer.ts';
import { completeStep, openStep } from './rows.ts';

const writer = await startWriter({ dataDir: process.argv[2] ?? '' });
const started = await writer.write('createRollout', { mode: 'train' });
// A call that never ends: whenever the kill comes, one step at least is open.
await writer.write('openSteps', [openStep(started)]);

async function writeSteps(): Promise<never> {
  for (let n = 0; ; n++) {
    const step = openStep(started);
    const opened = writer.record('openSteps', [step]);
    if (n % 2 === 0) await opened;
    await writer.record('completeSteps', [completeStep(step.id, {
      response: 'x'.repeat(2000), completionIds: new Int32Array(60), logprobs: Float32Array.from({ length: 60 }, (_, i) => -i),
    })]);
    process.stdout.write(`${step.id}\n`);
  }
}

await Promise.all(Array.from({ length: 8 }, writeSteps));
