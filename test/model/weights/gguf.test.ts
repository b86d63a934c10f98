import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { architectureOf } from '../../../model/architectures/index.ts';
import { parseModelConfig } from '../../../model/config.ts';
import { openGguf } from '../../../model/weights/gguf.ts';

const fixtures = new URL('../../fixtures/gguf/', import.meta.url);
const tiny = fileURLToPath(new URL('tiny.gguf', fixtures));
const work = mkdtempSync(join(tmpdir(), 'gguf-'));
after(() => rmSync(work, { recursive: true }));

interface Expected {
  tensors: Record<string, { format: string; shape: number[]; first: number[]; sha256: string }>;
}
const expected = JSON.parse(readFileSync(new URL('expected.json', fixtures), 'utf8')) as Expected;

for (const [name, { format, shape, first, sha256 }] of Object.entries(expected.tensors)) {
  test(`${format} (${name}) is dequantized bit for bit`, () => {
    const { weights } = openGguf(tiny);
    try {
      const tensor = weights.read(name);
      assert.deepEqual(tensor.shape, shape);
      assert.deepEqual([...tensor.data.subarray(0, 4)], first);
      assert.equal(createHash('sha256').update(tensor.data).digest('hex'), sha256);
    } finally {
      weights.close();
    }
  });
}

test('all formats are among the fixtures, and nothing else is in the file', () => {
  assert.deepEqual(new Set(Object.values(expected.tensors).map((t) => t.format)), new Set(['F32', 'F16', 'BF16', 'Q8_0', 'Q4_0', 'Q4_1', 'Q4_K', 'Q6_K']));
  const { weights } = openGguf(tiny);
  assert.deepEqual(weights.names().toSorted(), Object.keys(expected.tensors).toSorted());
  assert.throws(() => weights.read('lm_head.weight'), { name: 'ModelError', code: 'unknown_tensor' });
  weights.close();
});

test("metadata becomes the configuration, Llama 3's rope scaling included", () => {
  const { config, weights } = openGguf(tiny);
  weights.close();
  assert.deepEqual(config, {
    architecture: 'llama', vocabSize: 262, hiddenSize: 256, intermediateSize: 32, layers: 1, heads: 4, kvHeads: 2, headDim: 8, rmsNormEps: 1e-5,
    rope: { type: 'llama3', theta: 500000, factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositions: 8192 },
    sliding: null, attentionScale: 8 ** -0.5, tieWordEmbeddings: true, maxPositions: 128, bosTokenId: 1, eosTokenIds: [2], padTokenId: 2,
  });
});

const families: Record<string, { config: Record<string, unknown>; tensors: Record<string, { shape: number[]; sha256: string }> }> = JSON.parse(readFileSync(new URL('families.json', fixtures), 'utf8'));
for (const [name, { config: hub, tensors }] of Object.entries(families)) {
  test(`a ${name} file is the model it was made from`, () => {
    const { config, weights } = openGguf(fileURLToPath(new URL(`${name}.gguf`, fixtures)));
    assert.deepEqual(config, parseModelConfig(hub, name));
    assert.deepEqual(weights.names().toSorted(), [...architectureOf(config).tensors(config).keys()].toSorted());
    for (const [tensor, { shape, sha256 }] of Object.entries(tensors)) {
      const read = weights.read(tensor);
      assert.deepEqual([read.shape, createHash('sha256').update(read.data).digest('hex')], [shape, sha256], tensor);
    }
    weights.close();
  });
}

/** The file with one occurrence of some bytes replaced by as many others. */
function altered(from: string, to: string): string {
  const bytes = readFileSync(tiny);
  const at = bytes.indexOf(from, 0, 'latin1');
  assert.ok(at >= 0 && from.length === to.length);
  bytes.write(to, at, 'latin1');
  const path = join(work, `${to.replace(/\W/g, '')}.gguf`);
  writeFileSync(path, bytes);
  return path;
}

function refused(path: string, code: string, message: RegExp): void {
  assert.throws(() => openGguf(path), { name: 'ModelError', code, message });
}

test('what is not supported is refused by name', () => {
  const architecture = readFileSync(tiny);
  const at = architecture.indexOf('llama', architecture.indexOf('general.architecture'));
  architecture.write('grok1', at);
  const path = join(work, 'grok.gguf');
  writeFileSync(path, architecture);
  refused(path, 'unsupported', /architecture "grok1" \(llama, qwen2, qwen3, gemma3 are\)/);
  refused(altered('blk.0.attn_norm.weight', 'blk.0.exotic_x_.weight'), 'unsupported', /tensor "blk\.0\.exotic_x_\.weight"/);

  // The type number follows name, dimension count and dimensions.
  const quantized = readFileSync(tiny);
  const name = 'blk.0.attn_v.weight';
  quantized.writeUInt32LE(10, quantized.indexOf(name) + name.length + 4 + 2 * 8);
  const q2k = join(work, 'q2k.gguf');
  writeFileSync(q2k, quantized);
  refused(q2k, 'unsupported', /"blk\.0\.attn_v\.weight" is quantized in ggml type 10 \(supported: F32, F16, Q4_0/);
});

test('damaged files are told apart from unsupported ones', () => {
  const bytes = readFileSync(tiny);
  const cut = (length: number): string => {
    const path = join(work, `cut-${length}.gguf`);
    writeFileSync(path, bytes.subarray(0, length));
    return path;
  };
  refused(cut(bytes.length - 100), 'corrupt', /cut short in tensor/);
  refused(cut(3000), 'corrupt', /cut short/);
  refused(cut(10), 'corrupt', /not a GGUF file/);
  refused(altered('GGUF', 'GGML'), 'corrupt', /not a GGUF file/);
  refused(join(work, 'absent.gguf'), 'not_found', /cannot be opened/);

  const huge = Buffer.from(bytes);
  huge.writeBigUInt64LE(2n ** 60n, 8); // the tensor count
  const path = join(work, 'huge.gguf');
  writeFileSync(path, huge);
  refused(path, 'corrupt', /claims a size/);
});
