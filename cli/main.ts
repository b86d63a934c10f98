#!/usr/bin/env -S node --max-semi-space-size=16 --heap-growing-percent=100 --no-parallel-scavenge --v8-pool-size=1
/** `fulgurite <command>`: every command is one file beside this one. */
import type { Command } from 'commander';
import { newCommand } from './command.ts';
import { describeFailure } from './failure.ts';
import { packageVersion } from './package.ts';

/** In the order of `--help`. Only the command that is named is loaded: a client command needs no engine. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  serve: async () => (await import('./serve.ts')).serveCommand(),
  run: async () => (await import('./run.ts')).runCommand(),
  train: async () => (await import('./train.ts')).trainCommand(),
  trainer: async () => (await import('./trainer.ts')).trainerCommand(),
  policies: async () => (await import('./policies.ts')).policiesCommand(),
  rounds: async () => (await import('./rounds.ts')).roundsCommand(),
  export: async () => (await import('./export.ts')).exportCommand(),
  doctor: async () => (await import('./doctor.ts')).doctorCommand(),
  demo: async () => (await import('./demo.ts')).demoCommand(),
  config: async () => (await import('./config.ts')).configCommand(),
};

async function main(args: readonly string[]): Promise<void> {
  const program = newCommand('fulgurite', 'An OpenAI-compatible proxy that records what agents do and trains their policy from it.', 'serve --model ./model')
    .version(packageVersion(), '-V, --version')
    .enablePositionalOptions();
  const named = commands[args[0] ?? ''];
  for (const load of named ? [named] : Object.values(commands)) program.addCommand(await load());
  await program.parseAsync(args, { from: 'user' });
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  // The one place where a failure becomes a sentence and an exit code.
  const { exitCode, message } = describeFailure(error);
  if (message !== null) process.stderr.write(`${message}\n`);
  process.exitCode = exitCode;
}
