/** Reads a journal's entries in order, from file to file; also while its owner appends to it. */
import { closeSync, fstatSync, openSync, readSync, rmSync } from 'node:fs';
import { fileOf, filesOf } from './directory.ts';
import { decodeFrame, type JournalEntry } from './frames.ts';

/** Of the buffer that is used again; a larger read has one of its own. */
const maxKeptBytes = 1024 * 1024;

export class JournalReader {
  readonly #directory: string;
  #buffer: Buffer = Buffer.allocUnsafeSlow(0);
  /** Entries that were read lie in the buffer. */
  #isInUse = false;
  #file: { readonly number: number; readonly fd: number; offset: number } | null = null;
  /** Files that have been read to their end. */
  readonly #done: number[] = [];

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** The next `count` entries, good until `release`; fewer where there are no more. */
  read(count: number): JournalEntry[] {
    const entries: JournalEntry[] = [];
    while (entries.length < count) {
      const before = entries.length;
      if (this.#file !== null) this.#readFile(this.#file, count, entries);
      // What is not in this file any more is in the next one.
      if (entries.length === before && !this.#openNext()) break;
    }
    return entries;
  }

  /** All that was read is in the database: its memory is used again, and the files before the one that is being read are deleted. */
  release(): void {
    this.#isInUse = false;
    for (const number of this.#done.splice(0)) rmSync(fileOf(this.#directory, number), { force: true });
  }

  close(): void {
    if (this.#file === null) return;
    closeSync(this.#file.fd);
    this.#file = null;
  }

  #readFile(file: { readonly fd: number; offset: number }, count: number, entries: JournalEntry[]): void {
    const bytes = this.#bufferOf(fstatSync(file.fd).size - file.offset);
    const length = readSync(file.fd, bytes, 0, bytes.byteLength, file.offset);
    let offset = 0;
    for (let frame; entries.length < count && (frame = decodeFrame(bytes.subarray(0, length), offset)) !== null; offset = frame.end) entries.push(frame.entry);
    file.offset += offset;
  }

  /** Of that many bytes. A fresh one for each read would be a heap of what V8 collects late, as it sees little of it. */
  #bufferOf(size: number): Buffer {
    if (this.#isInUse || size > maxKeptBytes) return Buffer.allocUnsafeSlow(size);
    if (this.#buffer.byteLength < size) this.#buffer = Buffer.allocUnsafeSlow(size);
    this.#isInUse = true;
    return this.#buffer.subarray(0, size);
  }

  #openNext(): boolean {
    const number = filesOf(this.#directory).find((other) => other > (this.#file?.number ?? 0));
    if (number === undefined) return false;
    if (this.#file !== null) this.#done.push(this.#file.number);
    this.close();
    this.#file = { number, fd: openSync(fileOf(this.#directory, number), 'r'), offset: 0 };
    return true;
  }
}
