/** How a server is reached: its URL and a key. */
import type { Command } from 'commander';
import type { Config } from '../../config/schema.ts';
import { UsageError } from '../failure.ts';
import type { Connection } from './http.ts';

export const defaultUrl = 'http://127.0.0.1:8700';

export interface ConnectionOptions {
  readonly url?: string;
  readonly apiKey?: string;
}

export function addConnectionOptions(command: Command): Command {
  return command
    .option('-u, --url <url>', `a running server (default: FULGURITE_URL, else ${defaultUrl})`)
    .option('-k, --api-key <key>', 'an admin key of it (default: FULGURITE_API_KEY)');
}

export function connectionOf(options: ConnectionOptions): Connection {
  const url = options.url ?? process.env['FULGURITE_URL'] ?? defaultUrl;
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? '')) throw new UsageError(`--url must be a URL such as ${defaultUrl}, not "${url}".`);
  return { url: url.replace(/\/+$/, '').replace(/\/v1$/, ''), apiKey: options.apiKey ?? process.env['FULGURITE_API_KEY'] };
}

/** How to reach a server of one's own: an admin key is needed once any key is configured. */
export function ownConnection(config: Config, url: string): Connection {
  const { keys } = config.server;
  const admin = keys.find((key) => key.scope === 'admin');
  if (keys.length > 0 && !admin) throw new UsageError('The configuration has server.keys but none of scope "admin", which this command needs.');
  return { url, apiKey: admin?.key };
}
