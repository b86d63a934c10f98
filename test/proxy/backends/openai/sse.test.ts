import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { SseReader } from '../../../../proxy/backends/openai/sse.ts';

function read(pieces: readonly Uint8Array[]): string[] {
  const reader = new SseReader();
  return [...pieces.flatMap((piece) => reader.push(piece)), ...reader.end()];
}

/** Cuts bytes at arbitrary places, empty pieces included. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const at = places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b);
  return [0, ...at].map((from, i) => bytes.subarray(from, at[i] ?? bytes.length));
}

const line = fc.string({ unit: 'binary' }).map((text) => text.replace(/[\r\n\uFEFF]/g, ''));
const ending = fc.constantFrom('\n', '\r\n', '\r');
const noise = fc.oneof(line.map((text) => `: ${text}`), fc.constantFrom('event: x', 'id: 7', 'retry: 10', 'dat: no', 'database: no'));

test('any events, in any line endings, cut anywhere, come out as they went in', () => {
  fc.assert(fc.property(
    fc.array(fc.record({ data: fc.array(line, { minLength: 1, maxLength: 3 }), noise: fc.array(noise, { maxLength: 2 }), space: fc.boolean() })),
    ending, fc.boolean(), fc.array(fc.nat()),
    (events, eol, lastBlank, places) => {
      const text = events.map(({ data, noise: before, space }) => [
        ...before, ...data.map((value) => `data:${space || value.startsWith(' ') ? ' ' : ''}${value}`), '',
      ].map((written) => written + eol).join('')).join('');
      const whole = lastBlank ? text : text.slice(0, text.length - eol.length);
      assert.deepEqual(read(cut(new TextEncoder().encode(whole), places)), events.map(({ data }) => data.join('\n')));
    },
  ), { numRuns: 500 });
});

test('a byte-order mark, an event without data and a data line without a colon', () => {
  const bytes = new TextEncoder().encode('\uFEFFdata: one\n\nevent: ping\n\ndata\n\ndata: two');
  assert.deepEqual(read([bytes]), ['one', '', 'two']);
});

test('an event leaves with its blank line, not with the next event', () => {
  const reader = new SseReader();
  assert.deepEqual(reader.push(new TextEncoder().encode('data: a\r\n\r')), ['a']);
  assert.deepEqual(reader.push(new TextEncoder().encode('\ndata: b\n\n')), ['b']);
});
