/**
 * How entries lie in a journal file: length and CRC-32 of what follows (uint32, little-endian); the length of a piece of JSON (uint32) and that JSON; then bodies and arrays, as they are
 * in memory. All begin at multiples of four, so that arrays are read where they lie. V8's own serialization keeps what it has written alive until its next collection of garbage.
 */
import { crc32 } from 'node:zlib';
import type { CommandArgument, CommandName } from '../commands.ts';
import type { CompleteStep, OpenStep } from '../step-writes.ts';

/** What of a call is recorded ahead of the database: it can be applied again without harm, and nobody needs its result. */
export type RecordedName = Extract<CommandName, 'createRollout' | 'openSteps' | 'completeSteps'>;
export interface JournalEntry { readonly name: RecordedName; readonly argument: unknown }

const headerBytes = 8;
const jsonStart = headerBytes + 4;
/** Most entries fit; a larger one gets a buffer of its own. */
const usualBytes = 64 * 1024;

type Part = Uint8Array | Int32Array | Float32Array;
type PartKey = Extract<keyof OpenStep | keyof CompleteStep, 'request' | 'response' | 'promptIds' | 'completionIds' | 'logprobs'>;
/** Of a row, beside the JSON. A body given as text is read as its UTF-8. */
const parts: Readonly<Record<PartKey, (bytes: Buffer) => Part>> = {
  request: (bytes) => bytes,
  response: (bytes) => bytes,
  promptIds: ({ buffer, byteOffset, byteLength }) => new Int32Array(buffer, byteOffset, byteLength / 4),
  completionIds: ({ buffer, byteOffset, byteLength }) => new Int32Array(buffer, byteOffset, byteLength / 4),
  logprobs: ({ buffer, byteOffset, byteLength }) => new Float32Array(buffer, byteOffset, byteLength / 4),
};
const partKeys = Object.keys(parts) as PartKey[]; // those that are written there
/** Which row's, which column, bytes. */
type PartPlace = readonly [row: number, key: PartKey, byteLength: number];
type Row = Readonly<Record<string, unknown>> & { readonly [key in PartKey]?: string | Part | null };

export class FrameEncoder {
  readonly #usual = Buffer.allocUnsafeSlow(usualBytes);

  /** Valid until the next call. */
  encode<Name extends RecordedName>(name: Name, argument: CommandArgument<Name>): Buffer {
    const places: PartPlace[] = [];
    const contents: (string | Part)[] = [];
    const rest = Array.isArray(argument) ? argument.map((row: Row, index) => withoutParts(row, index, places, contents)) : argument;
    const json = JSON.stringify([name, rest, places]);
    const jsonBytes = Buffer.byteLength(json);
    const size = places.reduce((sum, [, , byteLength]) => sum + aligned(byteLength), jsonStart + aligned(jsonBytes));
    const frame = size <= usualBytes ? this.#usual.subarray(0, size) : Buffer.allocUnsafeSlow(size);
    let end = jsonStart + frame.write(json, jsonStart);
    for (const content of contents) {
      const start = aligned(end);
      frame.fill(0, end, start);
      end = start + write(frame, content, start);
    }
    frame.fill(0, end);
    frame.writeUInt32LE(jsonBytes, headerBytes);
    frame.writeUInt32LE(size - headerBytes, 0);
    frame.writeUInt32LE(crc32(frame.subarray(headerBytes)), 4);
    return frame;
  }
}

/**
 * The entry that begins at `offset`, and where it ends; null at the end, and at a frame that is not whole: nobody was told that it was kept.
 * The entry's bodies and arrays are views on `bytes`, which lies at a multiple of four, as `offset` does.
 */
export function decodeFrame(bytes: Buffer, offset: number): { readonly entry: JournalEntry; readonly end: number } | null {
  if (bytes.byteLength < offset + jsonStart) return null;
  const end = offset + headerBytes + bytes.readUInt32LE(offset);
  if (end < offset + jsonStart || bytes.byteLength < end) return null;
  if (crc32(bytes.subarray(offset + headerBytes, end)) !== bytes.readUInt32LE(offset + 4)) return null;
  const jsonEnd = offset + jsonStart + bytes.readUInt32LE(offset + headerBytes);
  const [name, argument, places] = JSON.parse(bytes.toString('utf8', offset + jsonStart, jsonEnd)) as [RecordedName, unknown, readonly PartPlace[]]; // `encode` wrote it, by its checksum
  let start = aligned(jsonEnd);
  for (const [index, key, byteLength] of places) {
    const row = (argument as readonly Partial<Record<PartKey, Part>>[])[index]; // only rows have parts
    if (row !== undefined) row[key] = parts[key](bytes.subarray(start, start + byteLength));
    start += aligned(byteLength);
  }
  return { entry: { name, argument }, end };
}

function withoutParts(row: Row, index: number, places: PartPlace[], contents: (string | Part)[]): object {
  const rest: Record<string, unknown> = { ...row };
  for (const key of partKeys) {
    const content = row[key];
    if (content === null || content === undefined) continue;
    rest[key] = undefined;
    places.push([index, key, typeof content === 'string' ? Buffer.byteLength(content) : content.byteLength]);
    contents.push(content);
  }
  return rest;
}

/** @returns bytes */
function write(frame: Buffer, content: string | Part, start: number): number {
  if (typeof content === 'string') return frame.write(content, start);
  frame.set(new Uint8Array(content.buffer, content.byteOffset, content.byteLength), start);
  return content.byteLength;
}

const aligned = (bytes: number): number => (bytes + 3) & ~3;
