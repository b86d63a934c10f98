/** A model of ours as a Hugging Face directory with float32 weights, so that peers compute with the same numbers. */
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Model } from '../model/model.ts';
import { openWeights } from '../model/open.ts';
import { writeSafetensors } from '../model/weights/safetensors.ts';

/** As `exportHuggingFace`, of the model at a path. */
export async function exportPath(path: string, parent: string): Promise<string> {
  const model = await openWeights(path);
  try {
    return exportHuggingFace(model, parent);
  } finally {
    model.weights.close();
  }
}

/** Writes the directory unless it is there. No tokenizer: benchmarks feed token ids. Returns its path. */
export function exportHuggingFace(model: Pick<Model, 'config' | 'weights' | 'fingerprint'>, parent: string): string {
  const directory = join(parent, `${model.fingerprint.slice(0, 16)}-hf`);
  if (existsSync(directory)) return directory;
  const temporary = `${directory}.${process.pid}`;
  mkdirSync(temporary, { recursive: true });
  try {
    writeFileSync(join(temporary, 'config.json'), `${JSON.stringify(hubConfig(model.config), null, 2)}\n`);
    writeSafetensors(join(temporary, 'model.safetensors'), new Map(model.weights.names().map((name) => [name, model.weights.read(name)])), { metadata: { format: 'pt' } });
    renameSync(temporary, directory);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  return directory;
}

function hubConfig(config: Model['config']): object {
  if (config.architecture !== 'llama' || config.rope.type !== 'default') throw new Error(`only plain Llama is exported for benchmarks, not ${config.architecture}`);
  return {
    architectures: ['LlamaForCausalLM'], model_type: 'llama', hidden_act: 'silu', attention_bias: false, mlp_bias: false, dtype: 'float32',
    hidden_size: config.hiddenSize, intermediate_size: config.intermediateSize, num_hidden_layers: config.layers, num_attention_heads: config.heads,
    num_key_value_heads: config.kvHeads, head_dim: config.headDim, max_position_embeddings: config.maxPositions, rms_norm_eps: config.rmsNormEps,
    rope_theta: config.rope.theta, rope_parameters: { rope_type: 'default', rope_theta: config.rope.theta }, vocab_size: config.vocabSize,
    tie_word_embeddings: config.tieWordEmbeddings, bos_token_id: config.bosTokenId, eos_token_id: config.eosTokenIds[0] ?? null, pad_token_id: config.padTokenId,
  };
}
