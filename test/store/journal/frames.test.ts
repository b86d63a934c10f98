import assert from 'node:assert/strict';
import { it } from 'node:test';
import { decodeFrame, encodeFrame } from '../../../store/journal/frames.ts';
import { completeStep } from '../rows.ts';

const step = completeStep('st_1', { response: 'ü'.repeat(20), promptIds: Int32Array.of(1, 2, 3).subarray(1), logprobs: Float32Array.of(-0.5, -0.25) });
const frame = encodeFrame('completeSteps', [step]);

it('an entry is read as it was written, and the next one begins where it ends', () => {
  const opened = { ...step, request: Buffer.from('{"pooled":true}') };
  const bytes = Buffer.concat([frame, encodeFrame('completeSteps', [opened])]);
  const first = decodeFrame(bytes, 0);
  assert.deepEqual(first?.entry, { name: 'completeSteps', argument: [step] });
  const second = decodeFrame(bytes, first.end);
  assert.deepEqual(second?.entry.argument, [opened]);
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
