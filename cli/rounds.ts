/** `fulgurite rounds`: the training rounds of a server; one of them run again. */
import type { Command } from 'commander';
import { AdminClient, type RoundRow } from './client/admin.ts';
import { addConnectionOptions, connectionOf, type ConnectionOptions } from './client/connection.ts';
import { newCommand, positiveInteger } from './command.ts';
import { addConfigOptions, type ConfigOptions } from './configuration.ts';
import { cell, textTable } from './terminal/table.ts';

export function roundsCommand(): Command {
  const rounds = newCommand('rounds', 'List the training rounds, show one, or run one again.', 'rounds show 3');
  rounds.addCommand(addConnectionOptions(newCommand('list', 'The newest rounds.', 'rounds list --limit 5'))
    .option('-n, --limit <number>', 'how many', positiveInteger, 20)
    .option('--json', 'one JSON object a line')
    .action((options: ConnectionOptions & { limit: number; json?: boolean }) => list(options)), { isDefault: true });
  rounds.addCommand(addConnectionOptions(newCommand('show', 'One round with its configuration and metrics, as JSON.', 'rounds show 3'))
    .argument('<id>', 'the round', positiveInteger)
    .action(async (id: number, options: ConnectionOptions) => {
      const round = await new AdminClient(connectionOf(options)).round(id);
      process.stdout.write(`${JSON.stringify(round, null, 2)}\n`);
    }));
  rounds.addCommand(addConfigOptions(newCommand('replay', 'Run a round of a data directory again and compare the bytes with those that were published.', 'rounds replay 3 --model ./model --data ./data'))
    .argument('<id>', 'the round', positiveInteger)
    .action(async (id: number, options: ConfigOptions) => {
      // The other commands ask a server and need neither model nor trainer.
      const { replay } = await import('./rounds/replay.ts');
      await replay(id, options);
    }));
  return rounds;
}

async function list(options: ConnectionOptions & { limit: number; json?: boolean }): Promise<void> {
  const { data } = await new AdminClient(connectionOf(options)).rounds(options.limit);
  if (options.json) {
    for (const round of data) process.stdout.write(`${JSON.stringify(round)}\n`);
    return;
  }
  process.stdout.write(data.length === 0 ? 'No rounds yet: "fulgurite train" or POST /admin/rounds starts one.\n' : `${textTable(
    ['round', 'state', 'from', 'to', 'reward', 'seconds', ''], data.map(row))}\n`);
}

function row(round: RoundRow): string[] {
  const seconds = round.started_at !== null && round.ended_at !== null ? (round.ended_at - round.started_at) / 1000 : null;
  return [
    String(round.id), round.state, cell(round.base_version, 0), cell(round.result_version, 0), cell(round.metrics?.['rewardMean']),
    cell(seconds, 1), round.error ?? (round.progress ? `${round.progress.phase} ${round.progress.done}/${round.progress.total}` : ''),
  ];
}
