/** A server process for kill.e2e.test.ts: `node kill-server.ts <data directory>` prints its URL. */
import { createLog } from '../../proxy/log.ts';
import { startProxy } from '../../proxy/main.ts';
import { FakeBackend } from './fake-backend.ts';
import { testConfig } from './harness.ts';

const [, , dataDir = ''] = process.argv;
const proxy = await startProxy(testConfig(dataDir), { backend: new FakeBackend(), log: createLog('silent') });
process.stdout.write(`${proxy.url}\n`);
