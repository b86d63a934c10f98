/** Random-access reading of a file that may be far larger than memory: slices at offsets, never the whole. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { ModelError } from '../error.ts';

/** `readSync` takes at most 2 GiB − 1 a call. */
const MAX_READ_BYTES = 1 << 30;

export interface SliceFile {
  readonly path: string;
  readonly bytes: number;
  /** A fresh buffer with exactly `length` bytes from `offset`. @throws ModelError `corrupt` where the file ends before that. */
  read(offset: number, length: number): Uint8Array<ArrayBuffer>;
  close(): void;
}

/** @throws ModelError `not_found` */
export function openSlices(path: string): SliceFile {
  const fd = openOrExplain(path);
  const { size } = fstatSync(fd);
  return {
    path,
    bytes: size,
    read(offset, length) {
      if (offset + length > size) {
        throw new ModelError('corrupt', `${path} is cut short: ${offset + length} bytes are needed, it has ${size}; copy or download it again.`);
      }
      const out = new Uint8Array(length);
      for (let at = 0; at < length; ) {
        const got = readSync(fd, out, at, Math.min(length - at, MAX_READ_BYTES), offset + at);
        if (got === 0) throw new ModelError('corrupt', `${path} became shorter while it was read.`);
        at += got;
      }
      return out;
    },
    close: () => closeSync(fd),
  };
}

function openOrExplain(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    throw new ModelError('not_found', `${path} cannot be opened (${error instanceof Error ? error.message : String(error)}).`, { cause: error });
  }
}
