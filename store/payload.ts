/** What a command weighs, and what of it is posted to the writer thread. */

/** Bytes of the strings and arrays in a command's argument (one row or several): what its waiting costs in memory. */
export function payloadBytes(argument: unknown): number {
  let bytes = 0;
  for (const row of Array.isArray(argument) ? argument : [argument]) {
    for (const value of Object.values(row ?? {})) {
      if (typeof value === 'string') bytes += value.length;
      else if (ArrayBuffer.isView(value)) bytes += value.byteLength;
    }
  }
  return bytes;
}

/**
 * The argument, with views on a part of a larger buffer (a pooled `Buffer`, a `subarray`) replaced by copies of that part:
 * posting a view posts all of its buffer.
 */
export function withOwnBytes(argument: unknown): unknown {
  return Array.isArray(argument) ? argument.map(rowWithOwnBytes) : argument;
}

type View = Uint8Array | Int32Array | Float32Array;

function rowWithOwnBytes(row: object): object {
  const copies = Object.entries(row).filter(([, value]) => isPartialView(value)).map(([key, view]: [string, View]) =>
    [key, view instanceof Uint8Array ? Uint8Array.prototype.slice.call(view) : view.slice()]);
  return copies.length === 0 ? row : { ...row, ...Object.fromEntries(copies) };
}

function isPartialView(value: unknown): value is View {
  return ArrayBuffer.isView(value) && value.byteLength < value.buffer.byteLength;
}
