/** GGUF model files: configuration, metadata and weights under their Hugging Face names. */
import { ModelError } from '../error.ts';
import type { ModelConfig, Weights } from '../model.ts';
import { openSlices, type SliceFile } from './file.ts';
import { configFromGguf } from './gguf/config.ts';
import { GGUF_FAMILIES, hubName, type GgufFamily } from './gguf/families.ts';
import { readGgufHeader, type GgufMetadata, type GgufTensor } from './gguf/header.ts';
import { QUANTIZATIONS, type Quantization } from './gguf/quantization.ts';

export interface GgufFile {
  readonly metadata: GgufMetadata;
  readonly config: ModelConfig;
  readonly weights: Weights;
}

interface Located extends GgufTensor {
  readonly quantization: Quantization;
  readonly bytes: number;
}

const ROPE_FACTORS = 'rope_freqs.weight';

/**
 * Reads the head of the file; each tensor is read and dequantized when asked for.
 * @throws ModelError `not_found`, `corrupt`, `unsupported` (named: architecture, quantization, tensor)
 */
export function openGguf(path: string): GgufFile {
  const file = openSlices(path);
  try {
    const { metadata, tensors } = readGgufHeader(file);
    const located = new Map<string, Located>();
    for (const tensor of tensors) located.set(tensor.name, locate(tensor, file));
    const ropeFactors = located.get(ROPE_FACTORS);
    const family = familyOf(metadata, path);
    const config = configFromGguf(metadata, family, tensors, ropeFactors ? dequantize(ropeFactors, file) : null, path);
    return { metadata, config, weights: weightsOf(located, family, config, file) };
  } catch (error) {
    file.close();
    throw error;
  }
}

function familyOf(metadata: GgufMetadata, path: string): GgufFamily {
  const architecture = String(metadata.get('general.architecture'));
  const family = GGUF_FAMILIES.get(architecture);
  if (!family) throw new ModelError('unsupported', `${path}: not supported: architecture "${architecture}" (${[...GGUF_FAMILIES.keys()].join(', ')} are).`);
  return family;
}

function locate(tensor: GgufTensor, file: SliceFile): Located {
  const quantization = QUANTIZATIONS[tensor.type];
  if (!quantization) {
    const known = Object.values(QUANTIZATIONS).map(({ name }) => name).join(', ');
    throw new ModelError('unsupported', `${file.path}: not supported: tensor "${tensor.name}" is quantized in ggml type ${tensor.type} (supported: ${known}).`);
  }
  const { blockSize, blockBytes } = quantization;
  const count = tensor.shape.reduce((a, b) => a * b, 1);
  const bytes = (count / blockSize) * blockBytes;
  if ((tensor.shape.at(-1) ?? 0) % blockSize !== 0) throw new ModelError('corrupt', `${file.path} is damaged: a row of tensor "${tensor.name}" is not a whole number of ${quantization.name} blocks.`);
  if (tensor.offset + bytes > file.bytes) throw new ModelError('corrupt', `${file.path} is cut short in tensor "${tensor.name}"; copy or download it again.`);
  return { ...tensor, quantization, bytes };
}

function dequantize(tensor: Located, file: SliceFile): Float32Array {
  return tensor.quantization.dequantize(file.read(tensor.offset, tensor.bytes));
}

function weightsOf(located: ReadonlyMap<string, Located>, family: GgufFamily, config: ModelConfig, file: SliceFile): Weights {
  const byHubName = new Map<string, Located>();
  for (const tensor of located.values()) {
    if (tensor.name === ROPE_FACTORS) continue;
    const name = hubName(tensor.name, family);
    if (name === undefined) throw new ModelError('unsupported', `${file.path}: not supported: tensor "${tensor.name}" is not part of a ${family.modelType} model.`);
    byHubName.set(name, tensor);
  }
  const find = (name: string): Located => {
    const tensor = byHubName.get(name);
    if (!tensor) throw new ModelError('unknown_tensor', `${file.path} has no tensor "${name}".`);
    return tensor;
  };
  return {
    names: () => [...byHubName.keys()],
    has: (name) => byHubName.has(name),
    shape: (name) => find(name).shape,
    read(name) {
      const tensor = find(name);
      return family.restore({ shape: tensor.shape, data: dequantize(tensor, file) }, name, config);
    },
    close: () => file.close(),
  };
}
