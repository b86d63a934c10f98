/** The main thread's end of the journal: what it has appended survives `kill -9`, as what SQLite has committed does (synchronous = NORMAL). */
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import type { CommandArgument } from '../commands.ts';
import { fileOf } from './directory.ts';
import { FrameEncoder, type RecordedName } from './frames.ts';

/** A file is deleted when all of it is in the database, and read again as a whole after a crash. */
const maxFileBytes = 4 * 1024 * 1024;

export class Journal {
  readonly #directory: string;
  readonly #encoder = new FrameEncoder();
  #file: { readonly fd: number; bytes: number } | null = null;
  #lastNumber = 0;

  /** @param directory empty, and owned by this process */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Blocks for some 10 us. False: it could not be written, and nothing of it is there. */
  append<Name extends RecordedName>(name: Name, argument: CommandArgument<Name>): boolean {
    const frame = this.#encoder.encode(name, argument);
    try {
      if (this.#file !== null && this.#file.bytes >= maxFileBytes) this.close();
      this.#file ??= { fd: this.#openNext(), bytes: 0 };
      // A full disk takes a part.
      if (writeSync(this.#file.fd, frame) < frame.byteLength) throw new Error('The journal took a part of an entry only.');
      this.#file.bytes += frame.byteLength;
      return true;
    } catch {
      this.#undo();
      return false;
    }
  }

  close(): void {
    if (this.#file !== null) closeSync(this.#file.fd);
    this.#file = null;
  }

  /** For appending: after a part of an entry was taken back, the next entry begins where that did. */
  #openNext(): number {
    const fd = openSync(fileOf(this.#directory, this.#lastNumber + 1), 'ax');
    this.#lastNumber++;
    return fd;
  }

  /** A part of an entry ends a file for its reader. Where it cannot be taken back, the next entry goes into the next file. */
  #undo(): void {
    if (this.#file === null) return;
    try {
      ftruncateSync(this.#file.fd, this.#file.bytes);
    } catch {
      this.close();
    }
  }
}
