/** A server process for the tests that limit, lock, signal or kill it: `node server.ts <config as JSON>` prints its URL. SIGTERM ends it as it ends `fulgurite serve`. */
import { once } from 'node:events';
import { onInterrupt } from '../../../cli/interrupt.ts';
import { configSchema } from '../../../config/schema.ts';
import { createLog } from '../../../proxy/log.ts';
import { startProxy } from '../../../proxy/main.ts';
import { FakeBackend } from '../fake-backend.ts';

const config = configSchema.parse({ backend: { kind: 'openai', baseUrl: 'http://127.0.0.1:9/v1' }, ...JSON.parse(process.argv[2] ?? '{}') as object });
const { signal } = onInterrupt(() => undefined);
const proxy = await startProxy(config, { backend: new FakeBackend(), log: createLog('silent') });
process.stdout.write(`${proxy.url}\n`);
if (!signal.aborted) await once(signal, 'abort');
await proxy.close();
