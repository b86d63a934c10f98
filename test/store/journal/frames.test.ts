import assert from 'node:assert/strict';
import { it } from 'node:test';
import { decodeFrame, FrameEncoder } from '../../../store/journal/frames.ts';
import { completeStep } from '../rows.ts';

const step = completeStep('st_1', { response: 'ü'.repeat(20), promptIds: Int32Array.of(1, 2, 3).subarray(1), logprobs: Float32Array.of(-0.5, -0.25) });
const encoder = new FrameEncoder();
const frame = Buffer.from(encoder.encode('completeSteps', [step]));
/** As it is read: bodies are bytes. */
const read = { ...step, response: Buffer.from('ü'.repeat(20)) };

it('an entry is read as it was written, and the next one begins where it ends', () => {
  const large = { ...step, id: 'ß', response: Buffer.from('x'.repeat(200_001)), completionIds: new Int32Array(), error: null };
  const bytes = Buffer.concat([frame, encoder.encode('completeSteps', [large, step])]);
  const first = decodeFrame(bytes, 0);
  assert.deepEqual(first?.entry, { name: 'completeSteps', argument: [read] });
  const second = decodeFrame(bytes, first.end);
  assert.deepEqual(second?.entry.argument, [large, read]);
  assert.equal(decodeFrame(bytes, second.end), null);
});

it('an entry that is not whole, or not as it was written, is none', () => {
  for (let length = 0; length < frame.byteLength; length++) assert.equal(decodeFrame(frame.subarray(0, length), 0), null);
  for (let at = 0; at < frame.byteLength; at++) {
    const bytes = Buffer.from(frame);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    assert.equal(decodeFrame(bytes, 0), null, `byte ${at}`);
  }
  assert.equal(decodeFrame(Buffer.alloc(64), 0), null, 'a hole');
});
