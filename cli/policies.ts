/** `fulgurite policies`: the policy versions of a server; promote one, or roll back. */
import type { Command } from 'commander';
import { AdminClient } from './client/admin.ts';
import { addConnectionOptions, connectionOf, type ConnectionOptions } from './client/connection.ts';
import { naturalNumber, newCommand } from './command.ts';
import { textTable } from './terminal/table.ts';

export function policiesCommand(): Command {
  const policies = newCommand('policies', 'List the policy versions, promote one, or roll back.', 'policies promote 3');
  policies.addCommand(addConnectionOptions(newCommand('list', 'The versions, and which one is current.', 'policies list --json'))
    .option('--json', 'one JSON object a line')
    .action((options: ConnectionOptions & { json?: boolean }) => list(options)), { isDefault: true });
  policies.addCommand(addConnectionOptions(newCommand('promote', 'Make a version current; running calls end on theirs.', 'policies promote 3'))
    .argument('<version>', 'the version', naturalNumber)
    .action(async (version: number, options: ConnectionOptions) => {
      await new AdminClient(connectionOf(options)).promote(version);
      process.stdout.write(`Version ${version} is current.\n`);
    }));
  policies.addCommand(addConnectionOptions(newCommand('rollback', 'Make the version current that was current before.', 'policies rollback'))
    .action(async (options: ConnectionOptions) => {
      const client = new AdminClient(connectionOf(options));
      const { version } = await client.rollback();
      process.stdout.write(`Version ${version} is current again.\n`);
    }));
  return policies;
}

async function list(options: ConnectionOptions & { json?: boolean }): Promise<void> {
  const { data, current_version: current } = await new AdminClient(connectionOf(options)).policies();
  if (options.json) {
    for (const policy of data) process.stdout.write(`${JSON.stringify({ ...policy, current: policy.version === current })}\n`);
    return;
  }
  const rows = data.map((policy) => [
    `${policy.version}${policy.version === current ? ' *' : ''}`, policy.kind, policy.state,
    policy.parent_version === null ? '–' : String(policy.parent_version), policy.round_id === null ? '–' : String(policy.round_id),
    new Date(policy.created_at).toISOString().slice(0, 19).replace('T', ' '),
  ]);
  process.stdout.write(`${textTable(['version', 'kind', 'state', 'from', 'round', 'created (UTC)'], rows)}\n* current\n`);
}
