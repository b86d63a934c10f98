/** transformers + peft and vLLM, each in a Python process of its own; logits come back as safetensors files. */
import { join } from 'node:path';
import { readSafetensors, type SafetensorsFile } from '../../model/weights/safetensors.ts';
import { runForJson } from '../benchmark.ts';

export interface PeerRun {
  readonly base: string;
  /** Null: the base model. */
  readonly adapter: string | null;
  readonly dtype: 'float32' | 'bfloat16';
}

export interface Peers {
  /** Small checkpoints, and PEFT's adapters for them and for `existing` ones. */
  make(existing: Readonly<Record<string, string>>): Promise<readonly Subject[]>;
  /** `[time, vocab]` for each run. */
  transformers(runs: readonly PeerRun[]): Promise<Float32Array[]>;
  /** `[time − 1, vocab]` for each run: vLLM gives no logits after the last token of a prompt. The runs of one base and dtype share an engine. */
  vllm(runs: readonly PeerRun[]): Promise<Float32Array[]>;
  /** In float32, after llama.cpp's own converters, which are in its source tree. `gguf` has the tokenizer, without which they convert nothing. */
  llamaCpp(source: string, gguf: string, run: Pick<PeerRun, 'base' | 'adapter'>): Promise<LikelyTokens>;
}

/** Natural log-probs of the likeliest next tokens after some positions. */
export interface LikelyTokens {
  /** `[rows]` */
  readonly positions: Int32Array;
  /** `[rows, tokens]` */
  readonly ids: Int32Array;
  readonly logprobs: Float32Array;
}

export interface Subject {
  readonly name: string;
  readonly base: string;
  /** Directories, by how the targets are named. */
  readonly adapters: Readonly<Record<string, string>>;
}

export function openPeers(python: string, work: string, tokenIds: Int32Array): Peers {
  let files = 0;
  const call = (script: string, ...args: string[]): Promise<unknown> => runForJson(python, ['-W', 'ignore', join(import.meta.dirname, script), ...args]);
  const nextFile = (): string => join(work, `answer-${files++}.safetensors`);
  const withFiles = (runs: readonly PeerRun[]) => runs.map((run) => ({ ...run, out: nextFile() }));
  return {
    make: async (existing) => await call('make.py', work, ...Object.entries(existing).map(([name, path]) => `${name}=${path}`)) as Subject[], // what make.py prints
    async transformers(runs) {
      const jobs = withFiles(runs);
      await call('hf_logits.py', JSON.stringify({ tokenIds: [...tokenIds], runs: jobs }));
      return jobs.map(({ out }) => readLogits(out));
    },
    async vllm(runs) {
      const jobs = withFiles(runs);
      for (const engine of new Set(jobs.map(engineOf))) {
        const own = jobs.filter((job) => engineOf(job) === engine);
        await call('vllm_logits.py', JSON.stringify({ tokenIds: [...tokenIds], base: own[0]?.base, dtype: own[0]?.dtype, runs: own }));
      }
      return jobs.map(({ out }) => readLogits(out));
    },
    async llamaCpp(source, gguf, run) {
      const out = nextFile();
      await call('llama_cpp_logprobs.py', JSON.stringify({ ...run, out, tokenIds: [...tokenIds], source, gguf, work }));
      return reading(out, (file) => ({ positions: file.readInts('positions'), ids: file.readInts('ids'), logprobs: file.read('logprobs').data }));
    },
  };
}

const engineOf = ({ base, dtype }: PeerRun): string => `${dtype} ${base}`;

const readLogits = (path: string): Float32Array => reading(path, (file) => file.read('logits').data);

function reading<T>(path: string, read: (file: SafetensorsFile) => T): T {
  const file = readSafetensors(path);
  try {
    return read(file);
  } finally {
    file.close();
  }
}
