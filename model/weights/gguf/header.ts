/**
 * The head of a GGUF file (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), versions 2 and 3, little-endian: metadata, and
 * where each tensor lies.
 */
import { ModelError } from '../../error.ts';
import type { SliceFile } from '../file.ts';

/** 64-bit integers are numbers here: those beyond 2^53 have no use in a model file. */
export type GgufValue = string | number | boolean | readonly GgufValue[];

export type GgufMetadata = ReadonlyMap<string, GgufValue>;

export interface GgufTensor {
  readonly name: string;
  /** ggml's type number. */
  readonly type: number;
  /** Row-major, `[out, in]`: the file's order reversed. */
  readonly shape: readonly number[];
  /** From the start of the file. */
  readonly offset: number;
}

export interface GgufHeader {
  readonly metadata: GgufMetadata;
  readonly tensors: readonly GgufTensor[];
}

const CHUNK_BYTES = 1 << 20;

/** @throws ModelError `corrupt`, `unsupported` (version 1, big-endian) */
export function readGgufHeader(file: SliceFile): GgufHeader {
  const cursor = cursorOver(file);
  if (file.bytes < 24 || cursor.take(4).toString('latin1') !== 'GGUF') throw new ModelError('corrupt', `${file.path} is not a GGUF file.`);
  const version = cursor.take(4).readUInt32LE();
  if (version !== 2 && version !== 3) throw new ModelError('unsupported', `${file.path}: not supported: GGUF version ${version} (2 and 3, little-endian, are).`);
  const tensorCount = cursor.size();
  const metadataCount = cursor.size();

  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < metadataCount; i++) {
    const key = cursor.string();
    metadata.set(key, readValue(cursor, cursor.take(4).readUInt32LE(), file.path));
  }
  const relative: GgufTensor[] = [];
  for (let i = 0; i < tensorCount; i++) {
    const name = cursor.string();
    const shape = Array.from({ length: cursor.take(4).readUInt32LE() }, () => cursor.size()).toReversed();
    const type = cursor.take(4).readUInt32LE();
    relative.push({ name, type, shape, offset: cursor.size() });
  }
  const alignment = Number(metadata.get('general.alignment') ?? 32);
  const dataStart = Math.ceil(cursor.position() / alignment) * alignment;
  return { metadata, tensors: relative.map((tensor) => ({ ...tensor, offset: dataStart + tensor.offset })) };
}

interface Cursor {
  take(bytes: number): Buffer;
  /** A uint64 that counts or places something in this file, so it cannot exceed the file's size. */
  size(): number;
  string(): string;
  position(): number;
}

/** Reads on in chunks: the head's length is not known before it is read. */
function cursorOver(file: SliceFile): Cursor {
  let chunk = Buffer.alloc(0);
  let chunkStart = 0;
  let at = 0;
  const take = (bytes: number): Buffer => {
    if (at + bytes > chunkStart + chunk.length) {
      chunk = Buffer.from(file.read(at, Math.max(bytes, Math.min(CHUNK_BYTES, file.bytes - at))).buffer);
      chunkStart = at;
    }
    const start = at - chunkStart;
    at += bytes;
    return chunk.subarray(start, start + bytes);
  };
  const size = (): number => {
    const value = Number(take(8).readBigUInt64LE());
    if (value > file.bytes) throw new ModelError('corrupt', `${file.path} is damaged: at byte ${at - 8} it claims a size of ${value}.`);
    return value;
  };
  return { take, size, string: () => take(size()).toString('utf8'), position: () => at };
}

/** By GGUF's value type number; 9 is an array. */
const SCALARS: Readonly<Record<number, (cursor: Cursor) => GgufValue>> = {
  0: (cursor) => cursor.take(1).readUInt8(),
  1: (cursor) => cursor.take(1).readInt8(),
  2: (cursor) => cursor.take(2).readUInt16LE(),
  3: (cursor) => cursor.take(2).readInt16LE(),
  4: (cursor) => cursor.take(4).readUInt32LE(),
  5: (cursor) => cursor.take(4).readInt32LE(),
  6: (cursor) => cursor.take(4).readFloatLE(),
  7: (cursor) => cursor.take(1).readUInt8() !== 0,
  8: (cursor) => cursor.string(),
  10: (cursor) => Number(cursor.take(8).readBigUInt64LE()),
  11: (cursor) => Number(cursor.take(8).readBigInt64LE()),
  12: (cursor) => cursor.take(8).readDoubleLE(),
};

function readValue(cursor: Cursor, type: number, path: string): GgufValue {
  if (type === 9) {
    const elementType = cursor.take(4).readUInt32LE();
    return Array.from({ length: cursor.size() }, () => readValue(cursor, elementType, path));
  }
  const read = SCALARS[type];
  if (!read) throw new ModelError('corrupt', `${path} is damaged: a metadata value of type ${type}.`);
  return read(cursor);
}
