/** What runs here. */
import { createRequire } from 'node:module';
import { arch, availableParallelism, platform, totalmem } from 'node:os';
import { packageVersion } from '../package.ts';

export function versions(): string {
  const ort = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string }; // every package.json has one
  return `fulgurite ${packageVersion()}, node ${process.versions.node}, onnxruntime-node ${ort.version}, ${platform()} ${arch()}, ${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GiB`;
}
