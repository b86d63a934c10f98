/** How entries lie in a journal file: length and CRC-32 of what follows (uint32, little-endian), then name and argument in V8's own serialization. */
import { DefaultDeserializer, DefaultSerializer } from 'node:v8';
import { crc32 } from 'node:zlib';
import type { CommandArgument, CommandName } from '../commands.ts';

/** What of a call is recorded ahead of the database: it can be applied again without harm, and nobody needs its result. */
export type RecordedName = Extract<CommandName, 'createRollout' | 'openSteps' | 'completeSteps'>;
export interface JournalEntry { readonly name: RecordedName; readonly argument: unknown }

const headerBytes = 8;
const emptyHeader = Buffer.alloc(headerBytes);

export function encodeFrame<Name extends RecordedName>(name: Name, argument: CommandArgument<Name>): Buffer {
  const serializer = new DefaultSerializer();
  serializer.writeRawBytes(emptyHeader); // to be filled in, so that one buffer is written as it is
  serializer.writeHeader();
  serializer.writeValue([name, argument]);
  const frame = serializer.releaseBuffer();
  const payload = frame.subarray(headerBytes);
  frame.writeUInt32LE(payload.byteLength, 0);
  frame.writeUInt32LE(crc32(payload), 4);
  return frame;
}

/**
 * The entry that begins at `offset`, and where it ends; null at the end, and at a frame that is not whole: nobody was told that it was kept.
 * The entry's arrays are views on `bytes`.
 */
export function decodeFrame(bytes: Buffer, offset: number): { readonly entry: JournalEntry; readonly end: number } | null {
  const start = offset + headerBytes;
  if (bytes.byteLength < start) return null;
  const end = start + bytes.readUInt32LE(offset);
  if (end === start || bytes.byteLength < end) return null;
  const payload = bytes.subarray(start, end);
  if (crc32(payload) !== bytes.readUInt32LE(offset + 4)) return null;
  const deserializer = new DefaultDeserializer(payload);
  deserializer.readHeader();
  const [name, argument] = deserializer.readValue() as [RecordedName, unknown]; // `encodeFrame` wrote it, by its checksum
  return { entry: { name, argument }, end };
}
