/** A program: `node try-device.ts DEVICE` ends with 0 if the trainer could use the device, else says on stdout why not. */
import type { Device } from '../../trainer/backends/device.ts';
import { tryDevice } from '../../trainer/backends/try-device.ts';

try {
  await tryDevice(process.argv[2] as Device); // ./devices.ts starts it
} catch (error) {
  process.stdout.write(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
