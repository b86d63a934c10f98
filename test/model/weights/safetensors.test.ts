import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import * as fc from 'fast-check';
import { readSafetensors, writeSafetensors } from '../../../model/weights/safetensors.ts';

const work = mkdtempSync(join(tmpdir(), 'safetensors-'));
after(() => rmSync(work, { recursive: true }));

/** A file put together by hand, as the format's specification says. */
function handmade(name: string, header: unknown, data: Uint8Array): string {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const path = join(work, name);
  writeFileSync(path, Buffer.concat([length, json, data]));
  return path;
}

test('what is written is read, and the same input gives the same bytes', () => {
  const [one, two] = [join(work, 'one.safetensors'), join(work, 'two.safetensors')];
  const tensors = [['w', { shape: [2, 3], data: Float32Array.of(0, -0, 1.5, NaN, Infinity, 1e-40) }], ['steps', { shape: [2], data: Int32Array.of(-7, 2 ** 31 - 1) }], ['scalar', { shape: [], data: Float32Array.of(3) }], ['none', { shape: [0, 4], data: new Float32Array(0) }]] as const;
  writeSafetensors(one, tensors, { metadata: { format: 'pt' } });
  writeSafetensors(two, tensors, { metadata: { format: 'pt' } });
  assert.deepEqual(readFileSync(one), readFileSync(two));

  const file = readSafetensors(one);
  assert.deepEqual(file.names(), ['w', 'steps', 'scalar', 'none']);
  assert.deepEqual(file.metadata, { format: 'pt' });
  assert.deepEqual(file.read('w'), { shape: [2, 3], data: tensors[0][1].data });
  assert.deepEqual(file.readInts('steps'), Int32Array.of(-7, 2 ** 31 - 1));
  assert.deepEqual(file.read('scalar'), { shape: [], data: Float32Array.of(3) });
  assert.equal(file.read('none').data.length, 0);
  assert.throws(() => file.read('steps'), { code: 'unsupported' });
  assert.throws(() => file.readInts('w'), { code: 'unsupported' });
  assert.throws(() => file.read('absent'), { name: 'ModelError', code: 'unknown_tensor' });
  file.close();
});

test('every float width is read as float32', () => {
  const data = new Uint8Array(8 + 2 + 2 + 4);
  const view = new DataView(data.buffer);
  view.setUint16(0, 0x3e00, true); // half 1.5
  view.setUint16(2, 0x3fc0, true); // bfloat16 1.5
  view.setFloat32(4, -2.25, true);
  view.setFloat64(8, 0.1, true);
  const entry = (dtype: string, begin: number, end: number): object => ({ dtype, shape: [1], data_offsets: [begin, end] });
  const file = readSafetensors(handmade('widths', { h: entry('F16', 0, 2), b: entry('BF16', 2, 4), f: entry('F32', 4, 8), d: entry('F64', 8, 16) }, data));
  assert.deepEqual(['h', 'b', 'f', 'd'].map((name) => file.read(name).data[0]), [1.5, 1.5, -2.25, Math.fround(0.1)]);
  file.close();
});

test('halves and bfloats are rounded to nearest even', () => {
  const path = join(work, 'rounded');
  const roundTrip = (dtype: 'F16' | 'BF16', values: Float32Array): Float32Array => {
    writeSafetensors(path, [['x', { shape: [values.length], data: values }]], { dtype });
    const file = readSafetensors(path);
    try {
      assert.equal(file.dtype('x'), dtype);
      return file.read('x').data;
    } finally {
      file.close();
    }
  };
  // Ties: 1 + 2^-11 lies between 1 and 1 + 2^-10; 2049 between 2048 and 2050; 65520 is half-way to what would be 65536.
  assert.deepEqual(
    [...roundTrip('F16', Float32Array.of(1 + 2 ** -11, 1 + 3 * 2 ** -11, 2049, 65519, 65520, -0, 2 ** -25, 2 ** -25 * 1.01, 3 * 2 ** -25, NaN, -Infinity, 1e-45))],
    [1, 1 + 2 ** -9, 2048, 65504, Infinity, -0, 0, 2 ** -24, 2 ** -23, NaN, -Infinity, 0],
  );
  assert.deepEqual([...roundTrip('BF16', Float32Array.of(1 + 2 ** -8, 1 + 3 * 2 ** -8, NaN, -Infinity, 3.4e38))], [1, 1 + 2 ** -6, NaN, -Infinity, Infinity]);

  // Whatever the value, no half is nearer than the one chosen.
  fc.assert(
    fc.property(fc.float({ noNaN: true, min: -65000, max: 65000 }), (value) => {
      const [half] = roundTrip('F16', Float32Array.of(value));
      const spacing = Math.max(2 ** -24, 2 ** (Math.floor(Math.log2(Math.max(Math.abs(value), 2 ** -14))) - 10));
      assert.ok(half !== undefined && Math.abs(half - value) <= spacing / 2, `${value} → ${half}`);
    }),
  );
});

test('a damaged file is called damaged, with the reason', () => {
  const corrupt = (path: string, message: RegExp): void => assert.throws(() => readSafetensors(path), { name: 'ModelError', code: 'corrupt', message });
  const good = { x: { dtype: 'F32', shape: [2], data_offsets: [0, 8] } };
  const short = handmade('short', good, new Uint8Array(8));
  truncateSync(short, readFileSync(short).length - 1);
  corrupt(short, /"x" ends after the file's last byte/);
  corrupt(handmade('json', '{"x": ', new Uint8Array(0)), /not a JSON object/);
  corrupt(handmade('array', '[]', new Uint8Array(0)), /not a JSON object/);
  corrupt(handmade('size', { x: { dtype: 'F32', shape: [3], data_offsets: [0, 8] } }, new Uint8Array(8)), /8 bytes where its shape needs 12/);
  corrupt(handmade('entry', { x: { dtype: 'F32', shape: [-1], data_offsets: [0, 8] } }, new Uint8Array(8)), /entry of tensor "x"/);
  const text = join(work, 'text');
  writeFileSync(text, 'version https://git-lfs.github.com/spec/v1\n');
  corrupt(text, /header claims/);
  writeFileSync(text, 'tiny');
  corrupt(text, /only 4 bytes/);
  assert.throws(() => readSafetensors(handmade('f8', { x: { dtype: 'F8_E4M3', shape: [8], data_offsets: [0, 8] } }, new Uint8Array(8))), { code: 'unsupported', message: /F8_E4M3/ });
  assert.throws(() => readSafetensors(join(work, 'absent')), { code: 'not_found' });
});

test('a tensor whose data does not fill its shape is not written', () => {
  assert.throws(() => writeSafetensors(join(work, 'wrong'), [['x', { shape: [3], data: new Float32Array(2) }]]), RangeError);
});
