/** `fulgurite doctor`: is everything that serving and training need in order? */
import type { Command } from 'commander';
import { newCommand, positiveInteger } from './command.ts';
import { addConfigOptions, type ConfigOptions, configurationOf } from './configuration.ts';
import type { Check } from './doctor/check.ts';
import { RunError } from './failure.ts';

interface DoctorOptions extends ConfigOptions {
  readonly samples: number;
  readonly tokens: number;
  readonly json?: boolean;
}

export function doctorCommand(): Command {
  const command = newCommand('doctor', 'Check the model, its text, the data directory, and that engine and trainer agree.', 'doctor --model ./model')
    .option('--samples <number>', 'completions that are sampled for the agreement', positiveInteger, 8)
    .option('--tokens <number>', 'longest of them, in tokens', positiveInteger, 24)
    .option('--json', 'one JSON object on stdout');
  return addConfigOptions(command).action((options: DoctorOptions) => doctor(options));
}

async function doctor(options: DoctorOptions): Promise<void> {
  const config = configurationOf(options);
  // Engine and trainer are loaded for a configuration that is right, not to say that it is wrong.
  const { examine } = await import('./doctor/examine.ts');
  const checks: Check[] = [];
  for await (const done of examine(config, options)) {
    checks.push(done);
    if (!options.json) process.stdout.write(`${done.ok ? 'ok  ' : 'FAIL'}  ${done.name.padEnd(12)} ${done.detail}\n`);
  }
  if (options.json) process.stdout.write(`${JSON.stringify({ ok: checks.every(({ ok }) => ok), checks })}\n`);
  const failed = checks.filter(({ ok }) => !ok);
  if (failed.length > 0) throw new RunError(`Not in order: ${failed.map(({ name }) => name).join(', ')}.`);
}
