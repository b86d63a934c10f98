/** A graph as something that runs. */
import { createHash, randomUUID } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { encodeModel, shareCommonSubexpressions, type Graph } from '../../model/graph/index.ts';
import { TrainerError } from '../error.ts';
import { type Device, lowerFor, remedies } from './device.ts';

export interface SessionOptions {
  readonly device: Device;
  /** On the CPU; 0: as many as there are cores. */
  readonly threads: number;
}

/**
 * @param directory where the graph's external data lies; the graph is written beside it. Null if it has none.
 * @throws TrainerError `no_device` if the device is not there
 */
export async function openSession(graph: Graph, directory: string | null, { device, threads }: SessionOptions): Promise<ort.InferenceSession> {
  const options: ort.InferenceSession.SessionOptions = {
    executionProviders: [device],
    intraOpNumThreads: threads || availableParallelism(),
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
    enableCpuMemArena: true,
    // A memory plan for one shape only; shapes vary, and without it less memory is held.
    enableMemPattern: false,
    logSeverityLevel: 3,
    extra: {
      session: {
        // Long enough to meet the next operation, which is 5 % faster than to be woken for it; so short that nothing else (the engine) waits for it, as it does by default.
        'intra_op.allow_spinning': '1',
        'intra_op.spin_duration_us': '50',
        // Packed copies of the frozen weights, one for each direction, would win 4 % of time for 600 MB of a 135M model.
        disable_prepacking: '1',
      },
    },
  };
  const model = encodeModel(shareCommonSubexpressions(lowerFor[device](graph)));
  const path = directory === null ? null : await writeOnce(directory, model);
  try {
    return await (path === null ? ort.InferenceSession.create(model, options) : ort.InferenceSession.create(path, options));
  } catch (error) {
    if (device === 'cpu') throw error;
    throw new TrainerError('no_device', `trainer.device: ${device} does not work here. ${remedies[device]}. ONNX Runtime says: ${reasonOf(error)}`, { cause: error });
  }
}

/** Without the place in ONNX Runtime's source and the condition that did not hold there. */
const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).replace(/^\/onnxruntime_src\S* .* was false\. /s, '').trim();

/** Under a name made of its content, so that equal graphs share a file and a reader never sees half of one. */
async function writeOnce(directory: string, model: Uint8Array): Promise<string> {
  const path = join(directory, `train-${createHash('sha256').update(model).digest('hex').slice(0, 16)}.onnx`);
  const temporary = `${path}.${randomUUID()}`;
  try {
    await writeFile(temporary, model);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
  return path;
}
