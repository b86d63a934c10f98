#!/usr/bin/env node
/** `fulgurite <command>`: every command is one file beside this one. */
import { newCommand } from './command.ts';
import { configCommand } from './config.ts';
import { describeFailure } from './failure.ts';
import { packageVersion } from './package.ts';
import { policiesCommand } from './policies.ts';
import { roundsCommand } from './rounds.ts';
import { runCommand } from './run.ts';
import { trainCommand } from './train.ts';

const program = newCommand('fulgurite', 'An OpenAI-compatible proxy that records what agents do and trains their policy from it.', 'serve --model ./model')
  .version(packageVersion(), '-V, --version')
  .enablePositionalOptions();
const commands = [runCommand, trainCommand, policiesCommand, roundsCommand, configCommand];
for (const command of commands) program.addCommand(command());

try {
  await program.parseAsync();
} catch (error) {
  // The one place where a failure becomes a sentence and an exit code.
  const { exitCode, message } = describeFailure(error);
  if (message !== null) process.stderr.write(`${message}\n`);
  process.exitCode = exitCode;
}
