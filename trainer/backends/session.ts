/** A graph as something that runs. */
import { createHash, randomUUID } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { encodeModel, shareCommonSubexpressions, type Graph } from '../../model/graph/index.ts';

/**
 * @param directory where the graph's external data lies; the graph is written beside it. Null if it has none.
 * @param threads 0: as many as there are cores
 */
export async function openSession(graph: Graph, directory: string | null, threads: number): Promise<ort.InferenceSession> {
  const options: ort.InferenceSession.SessionOptions = {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads || availableParallelism(),
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
    enableCpuMemArena: true,
    // A memory plan for one shape only; shapes vary, and without it less memory is held.
    enableMemPattern: false,
    logSeverityLevel: 3,
    extra: {
      session: {
        // Threads that wait sleep: spinning triples the time of a step when something else (the engine) needs the cores too.
        'intra_op.allow_spinning': '0',
        // Packed copies of the frozen weights, one for each direction, would win 4 % of time for 600 MB of a 135M model.
        disable_prepacking: '1',
      },
    },
  };
  const model = encodeModel(shareCommonSubexpressions(graph));
  if (directory === null) return ort.InferenceSession.create(model, options);
  return ort.InferenceSession.create(await writeOnce(directory, model), options);
}

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
