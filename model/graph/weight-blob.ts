/**
 * All weights of a model as float32 in one file, which graphs refer to as external data: dequantized once, mapped into memory by the
 * runtime, shared by the engine's and the trainer's graphs.
 *
 * ```ts
 * const blob = await openWeightBlob(cacheDir, model.fingerprint, model.weights);
 * const w = blob.in(graph, 'model.norm.weight');
 * writeFileSync(join(blob.directory, 'decode.onnx'), encodeModel(graph));   // beside it: the location is relative
 * ```
 */
import { randomUUID } from 'node:crypto';
import { mkdir, open, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { Weights } from '../model.ts';
import type { Graph } from './graph.ts';
import { GraphError, type Value } from './value.ts';

const FILE_NAME = 'weights.bin';
/** The runtime maps whole pages. */
const ALIGNMENT = 4096;

export interface WeightBlob {
  /** `<cacheDir>/<fingerprint>`: where graphs that use it must be written. */
  readonly directory: string;
  readonly bytes: number;
  /** A weight as an external tensor of a graph. Ask once per graph and name. @throws GraphError for an unknown name */
  in(graph: Graph, name: string): Value;
}

/**
 * Writes the file if it isn't there (complete or not at all: a temporary file, then rename), else reuses it. Two processes may do so
 * at the same time. The layout follows from names and shapes, so nothing else is stored.
 * @param fingerprint identifies the weights: another fingerprint, another directory
 */
export async function openWeightBlob(cacheDir: string, fingerprint: string, weights: Weights): Promise<WeightBlob> {
  const directory = join(cacheDir, fingerprint);
  const { offsets, bytes } = layout(weights);
  const path = join(directory, FILE_NAME);
  if ((await sizeOf(path)) !== bytes) await write(path, weights, offsets, bytes);
  return {
    directory,
    bytes,
    in(graph, name) {
      const offset = offsets.get(name);
      if (offset === undefined) throw new GraphError(`the model has no tensor "${name}"`);
      return graph.external(name, weights.shape(name), { location: FILE_NAME, offset });
    },
  };
}

function layout(weights: Weights): { readonly offsets: ReadonlyMap<string, number>; readonly bytes: number } {
  const offsets = new Map<string, number>();
  let end = 0;
  for (const name of weights.names().toSorted()) {
    offsets.set(name, end);
    const bytes = weights.shape(name).reduce((product, dim) => product * dim, 4);
    end = Math.ceil((end + bytes) / ALIGNMENT) * ALIGNMENT;
  }
  return { offsets, bytes: end };
}

async function write(path: string, weights: Weights, offsets: ReadonlyMap<string, number>, bytes: number): Promise<void> {
  await mkdir(join(path, '..'), { recursive: true });
  const temporary = `${path}.${randomUUID()}`;
  try {
    await using file = await open(temporary, 'wx');
    await file.truncate(bytes);
    for (const [name, offset] of offsets) {
      const { data } = weights.read(name);
      await writeAt(file, new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
    }
    await file.sync();
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** In pieces: one write takes less than 2 GiB, and may write less than it is given. */
async function writeAt(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, at, Math.min(bytes.length - at, 1 << 30), offset + at);
    at += bytesWritten;
  }
}

const sizeOf = async (path: string): Promise<number> => (await stat(path).catch(() => ({ size: -1 }))).size;
