/**
 * All weights of a model in one file, which graphs refer to as external data: dequantized or quantized once, mapped into memory by the
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
import type { ExternalDType, Graph } from './graph.ts';
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
  /** A tensor whose values the session is given when it opens; the file is only named. */
  given(graph: Graph, name: string, shape: readonly number[]): Value;
  /** Fills `into`, which has the tensor's size, with a float32 tensor. @throws GraphError for an unknown name */
  read(name: string, into: Float32Array): Promise<void>;
}

/** One tensor of a file. */
export interface BlobTensor {
  readonly name: string;
  readonly dtype: ExternalDType;
  readonly shape: readonly number[];
  readonly read: () => Float32Array | Uint8Array;
}

/** The weights as float32. @param fingerprint identifies the weights: another fingerprint, another directory */
export function openWeightBlob(cacheDir: string, fingerprint: string, weights: Weights): Promise<WeightBlob> {
  const tensors = weights.names().toSorted().map((name): BlobTensor => ({ name, dtype: 'float32', shape: weights.shape(name), read: () => weights.read(name).data }));
  return openBlob(join(cacheDir, fingerprint), FILE_NAME, tensors);
}

/**
 * Writes the file if it isn't there (complete or not at all: a temporary file, then rename), else reuses it. Two processes may do so
 * at the same time. The layout follows from names and shapes, so nothing else is stored.
 */
export async function openBlob(directory: string, fileName: string, tensors: readonly BlobTensor[]): Promise<WeightBlob> {
  const { offsets, bytes } = layout(tensors);
  const path = join(directory, fileName);
  if ((await sizeOf(path)) !== bytes) await write(path, tensors, offsets, bytes);
  const places = new Map(tensors.map(({ name, shape, dtype }) => [name, { shape, data: { location: fileName, offset: offsets.get(name) ?? 0, dtype } }]));
  const placeOf = (name: string) => {
    const place = places.get(name);
    if (!place) throw new GraphError(`the model has no tensor "${name}"`);
    return place;
  };
  return {
    directory,
    bytes,
    in(graph, name) {
      const { shape, data } = placeOf(name);
      return graph.external(name, shape, data);
    },
    given: (graph, name, shape) => graph.external(name, shape, { location: fileName, offset: 0 }),
    async read(name, into) {
      const { offset } = placeOf(name).data;
      await using file = await open(path);
      await readAt(file, new Uint8Array(into.buffer, into.byteOffset, into.byteLength), offset);
    },
  };
}

function layout(tensors: readonly BlobTensor[]): { readonly offsets: ReadonlyMap<string, number>; readonly bytes: number } {
  const offsets = new Map<string, number>();
  let end = 0;
  for (const { name, dtype, shape } of tensors) {
    offsets.set(name, end);
    const bytes = shape.reduce((product, dim) => product * dim, dtype === 'uint8' ? 1 : 4);
    end = Math.ceil((end + bytes) / ALIGNMENT) * ALIGNMENT;
  }
  return { offsets, bytes: end };
}

async function write(path: string, tensors: readonly BlobTensor[], offsets: ReadonlyMap<string, number>, bytes: number): Promise<void> {
  await mkdir(join(path, '..'), { recursive: true });
  const temporary = `${path}.${randomUUID()}`;
  try {
    await using file = await open(temporary, 'wx');
    await file.truncate(bytes);
    for (const { name, read } of tensors) {
      const data = read();
      await writeAt(file, new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offsets.get(name) ?? 0);
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

/** In pieces, likewise. */
async function readAt(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesRead } = await file.read(bytes, at, Math.min(bytes.length - at, 1 << 30), offset + at);
    if (bytesRead === 0) throw new GraphError('a file of weights was cut off');
    at += bytesRead;
  }
}

const sizeOf = async (path: string): Promise<number> => (await stat(path).catch(() => ({ size: -1 }))).size;
