/** Reads a journal's entries in order, from file to file; also while its owner appends to it. */
import { closeSync, fstatSync, openSync, readSync, rmSync } from 'node:fs';
import { fileOf, filesOf } from './directory.ts';
import { decodeFrame, type JournalEntry } from './frames.ts';

export class JournalReader {
  readonly #directory: string;
  #file: { readonly number: number; readonly fd: number; offset: number } | null = null;
  /** Files that have been read to their end. */
  readonly #done: number[] = [];

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** The next `count` entries; fewer where there are no more. */
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

  /** Deletes the files before the one that is being read: all that was read must be in the database. */
  deleteRead(): void {
    for (const number of this.#done.splice(0)) rmSync(fileOf(this.#directory, number), { force: true });
  }

  close(): void {
    if (this.#file === null) return;
    closeSync(this.#file.fd);
    this.#file = null;
  }

  #readFile(file: { readonly fd: number; offset: number }, count: number, entries: JournalEntry[]): void {
    const bytes = Buffer.allocUnsafeSlow(fstatSync(file.fd).size - file.offset);
    const length = readSync(file.fd, bytes, 0, bytes.byteLength, file.offset);
    let offset = 0;
    for (let frame; entries.length < count && (frame = decodeFrame(bytes.subarray(0, length), offset)) !== null; offset = frame.end) entries.push(frame.entry);
    file.offset += offset;
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
