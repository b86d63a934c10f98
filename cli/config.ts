/** `fulgurite config`: the configuration in effect. */
import type { Command } from 'commander';
import { stringify } from 'yaml';
import { configurationDocument } from '../config/document.ts';
import { withoutSecrets } from '../config/load.ts';
import { newCommand } from './command.ts';
import { addServerOptions, type ConfigOptions, configurationOf } from './configuration.ts';

export function configCommand(): Command {
  const command = newCommand('config', 'Print the configuration in effect, defaults included and secrets blanked.', 'config --model ./model --set trainer.seed=1')
    .option('--docs', 'print the reference of all keys (docs/configuration.md) instead');
  return addServerOptions(command).action((options: ConfigOptions & { docs?: boolean }) => {
    process.stdout.write(options.docs ? configurationDocument() : stringify(withoutSecrets(configurationOf(options))));
  });
}
