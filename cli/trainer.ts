/** `fulgurite trainer`: the trainer alone, for a data directory that a server elsewhere on this machine serves. */
import type { Command } from 'commander';
import { trainedModel } from '../config/trained-model.ts';
import { newCommand } from './command.ts';
import { addConfigOptions, type ConfigOptions, configurationOf } from './configuration.ts';
import { UsageError } from './failure.ts';
import { onInterrupt } from './interrupt.ts';

export function trainerCommand(): Command {
  const command = newCommand('trainer', 'Run the trainer alone, beside a server that was started with --no-trainer.', 'trainer --model ./model --data ./data');
  return addConfigOptions(command).action(async (options: ConfigOptions) => {
    const config = configurationOf(options);
    if (trainedModel(config) === null) throw new UsageError('The trainer needs the model itself: give backend.model, with backend.kind "embedded" or "vllm".');
    const { runTrainer } = await import('../trainer/main.ts');
    using interruption = onInterrupt();
    await runTrainer(config, interruption.signal, () => process.stderr.write(`Waiting for rounds in ${config.dataDir}.\n`));
  });
}
