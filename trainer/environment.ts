import { cpus } from 'node:os';
import * as ort from 'onnxruntime-node';
import type { RoundEnvironment } from '../store/schema.ts';

/** What decides a sum's last bits beside the numbers themselves: the same operations in another order, or with other instructions, round otherwise. */
export function environment(): RoundEnvironment {
  return { onnxruntime: ort.env.versions.node ?? ort.env.versions.common, platform: `${process.platform}-${process.arch}`, cpu: cpus()[0]?.model.trim() ?? 'unknown' };
}
