/** Which devices could train. */
import { execFile } from 'node:child_process';
import type { Device } from '../../trainer/backends/device.ts';
import { RunError } from '../failure.ts';
import { cliModule } from '../package.ts';

const gpus = ['webgpu', 'cuda'] as const satisfies readonly Device[];
/** A driver that hangs is a driver that does not work. */
const timeoutMs = 60_000;

/** @throws RunError if the configured one does not work */
export async function describeDevices(configured: Device): Promise<string> {
  const problems = await Promise.all(gpus.map(problemOf));
  const problem = configured === 'cpu' ? null : problems[gpus.indexOf(configured)] ?? null;
  if (problem !== null) throw new RunError(problem);
  const found = gpus.map((device, i) => `${device} ${problems[i] === null ? 'works here' : `does not (why: --set trainer.device=${device})`}`);
  return `trains on ${configured}; ${found.join(', ')}`;
}

/** In a process of its own, which a bad driver may take down. Null: it works. */
function problemOf(device: Device): Promise<string | null> {
  return new Promise((resolve) => {
    execFile(process.execPath, [cliModule('doctor/try-device'), device], { timeout: timeoutMs }, (error, stdout) => {
      if (error === null) resolve(null);
      else resolve(stdout === '' ? `${device} ended the process that tried it (${error.signal ?? `exit code ${error.code}`})` : stdout);
    });
  });
}
