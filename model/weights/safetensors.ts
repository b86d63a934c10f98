/**
 * Safetensors files (https://huggingface.co/docs/safetensors): 8 bytes header length, a JSON header
 * `{name: {dtype, shape, data_offsets: [begin, end]}, __metadata__?}`, then the tensors' bytes, little-endian, row-major.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { z } from 'zod';
import { ModelError } from '../error.ts';
import type { Tensor, Weights } from '../model.ts';
import { bytesFromFloats, DTYPE_BYTES, floatsFromBytes, isDtype, type Dtype } from './dtypes.ts';
import { openSlices } from './file.ts';

/** The format's own limit (safetensors `MAX_HEADER_SIZE`). */
const MAX_HEADER_BYTES = 100_000_000;

export interface SafetensorsFile extends Weights {
  readonly metadata: Readonly<Record<string, string>>;
  dtype(name: string): Dtype;
  /** The tensor's bytes as stored. */
  readBytes(name: string): Uint8Array<ArrayBuffer>;
  /** An I32 tensor. @throws ModelError `unsupported` for another dtype */
  readInts(name: string): Int32Array;
}

export interface IntTensor {
  readonly shape: readonly number[];
  readonly data: Int32Array;
}

interface Entry {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly bytes: number;
}

/**
 * Opens a file by its header; tensors are read when asked for, floats of any width as float32.
 * @throws ModelError `not_found`, `corrupt` (bad header, short file), `unsupported` (an unknown dtype)
 */
export function readSafetensors(path: string): SafetensorsFile {
  const file = openSlices(path);
  try {
    const { entries, metadata } = readHeader(path, file);
    const entry = (name: string): Entry => {
      const found = entries.get(name);
      if (!found) throw new ModelError('unknown_tensor', `${path} has no tensor "${name}".`);
      return found;
    };
    const readBytes = (name: string): Uint8Array<ArrayBuffer> => file.read(entry(name).offset, entry(name).bytes);
    return {
      metadata,
      names: () => [...entries.keys()],
      has: (name) => entries.has(name),
      shape: (name) => entry(name).shape,
      dtype: (name) => entry(name).dtype,
      readBytes,
      read: (name) => ({ shape: entry(name).shape, data: floatsFromBytes(readBytes(name), entry(name).dtype) }),
      readInts(name) {
        if (entry(name).dtype !== 'I32') throw new ModelError('unsupported', `Tensor "${name}" of ${path} is ${entry(name).dtype}, not I32.`);
        return new Int32Array(readBytes(name).buffer);
      },
      close: () => file.close(),
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

/**
 * Writes float32 tensors (as `dtype`, default F32, rounded to nearest even) and int32 tensors (I32), in the order given.
 * The header is padded to 8 bytes, so every F32 and I32 tensor is aligned. The same input gives the same bytes.
 */
export function writeSafetensors(
  path: string,
  tensors: Iterable<readonly [name: string, tensor: Tensor | IntTensor]>,
  options: { readonly metadata?: Readonly<Record<string, string>>; readonly dtype?: 'F32' | 'F16' | 'BF16' } = {},
): void {
  const floatDtype = options.dtype ?? 'F32';
  const header: Record<string, unknown> = options.metadata ? { __metadata__: options.metadata } : {};
  const listed = [...tensors];
  let end = 0;
  for (const [name, { shape, data }] of listed) {
    const count = shape.reduce((a, b) => a * b, 1);
    if (count !== data.length) throw new RangeError(`Tensor "${name}" has ${data.length} values for shape [${shape.join(', ')}].`);
    if (Object.hasOwn(header, name)) throw new RangeError(`Tensor "${name}" is given twice.`);
    const dtype = data instanceof Int32Array ? 'I32' : floatDtype;
    const begin = end;
    end += count * DTYPE_BYTES[dtype];
    header[name] = { dtype, shape, data_offsets: [begin, end] };
  }
  const fd = openSync(path, 'w');
  try {
    writeAll(fd, encodeHeader(header));
    for (const [, { data }] of listed) writeAll(fd, data instanceof Int32Array ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : bytesFromFloats(data, floatDtype));
  } finally {
    closeSync(fd);
  }
}

function encodeHeader(header: Record<string, unknown>): Buffer {
  const json = Buffer.from(JSON.stringify(header));
  const padded = Math.ceil(json.length / 8) * 8;
  const out = Buffer.alloc(8 + padded, ' ');
  out.writeBigUInt64LE(BigInt(padded), 0);
  json.copy(out, 8);
  return out;
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, Math.min(bytes.length - at, 1 << 30));
}

const entrySchema = z.object({
  dtype: z.string(),
  shape: z.array(z.int().nonnegative()),
  data_offsets: z.tuple([z.int().nonnegative(), z.int().nonnegative()]),
});

function readHeader(path: string, file: { readonly bytes: number; read(offset: number, length: number): Uint8Array }): { entries: Map<string, Entry>; metadata: Record<string, string> } {
  const corrupt = (why: string): ModelError => new ModelError('corrupt', `${path} is not a whole safetensors file: ${why}.`);
  if (file.bytes < 8) throw corrupt(`it has only ${file.bytes} bytes`);
  const length = Number(Buffer.from(file.read(0, 8)).readBigUInt64LE());
  if (length > MAX_HEADER_BYTES || 8 + length > file.bytes) throw corrupt(`its header claims ${length} bytes`);
  const json = parseObject(Buffer.from(file.read(8, length)).toString('utf8'));
  if (!json) throw corrupt('its header is not a JSON object');

  const entries = new Map<string, Entry>();
  const metadata = z.record(z.string(), z.string()).safeParse(json['__metadata__'] ?? {});
  if (!metadata.success) throw corrupt('its metadata is not a map of strings');
  for (const [name, value] of Object.entries(json)) {
    if (name === '__metadata__') continue;
    const parsed = entrySchema.safeParse(value);
    if (!parsed.success) throw corrupt(`the entry of tensor "${name}" is malformed`);
    const { dtype, shape, data_offsets: [begin, end] } = parsed.data;
    if (!isDtype(dtype)) throw new ModelError('unsupported', `Tensor "${name}" of ${path} has dtype ${dtype}, which is not supported.`);
    const bytes = shape.reduce((a, b) => a * b, DTYPE_BYTES[dtype]);
    if (end - begin !== bytes) throw corrupt(`tensor "${name}" has ${end - begin} bytes where its shape needs ${bytes}`);
    if (8 + length + end > file.bytes) throw corrupt(`tensor "${name}" ends after the file's last byte`);
    entries.set(name, { dtype, shape, offset: 8 + length + begin, bytes });
  }
  return { entries, metadata: metadata.data };
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null;
  } catch {
    return null; // the caller names the file
  }
}
