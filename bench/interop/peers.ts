/** transformers + peft and vLLM, each in a Python process of its own; logits come back as safetensors files. */
import { join } from 'node:path';
import { readSafetensors } from '../../model/weights/safetensors.ts';
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
  const withFiles = (runs: readonly PeerRun[]) => runs.map((run) => ({ ...run, out: join(work, `logits-${files++}.safetensors`) }));
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
  };
}

const engineOf = ({ base, dtype }: PeerRun): string => `${dtype} ${base}`;

function readLogits(path: string): Float32Array {
  const file = readSafetensors(path);
  try {
    return file.read('logits').data;
  } finally {
    file.close();
  }
}
