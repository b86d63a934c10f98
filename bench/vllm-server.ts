/** vLLM's server on the CPU, serving SmolLM2 in float32 with adapters and tools, for benchmarks and for tests that need a real one. */
import { copyFileSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { runForJson } from './benchmark.ts';
import { exportPath } from './hugging-face.ts';
import { freePort, startProgram, type Server } from './server.ts';

export const vllmModel = 'smollm2';

export interface VllmServerOptions {
  /** Interpreter of a Python with `bench/requirements.txt`; its `vllm` stands beside it. */
  readonly python: string;
  /** SmolLM2's GGUF file. */
  readonly gguf: string;
  /** Where the Hugging Face directory is made, or found. */
  readonly cache: string;
  /** Beside those that every server here gets. */
  readonly more?: readonly string[];
}

export interface VllmServer extends Server {
  /** The Hugging Face directory that it serves. */
  readonly model: string;
}

/** The first start of a vLLM loads and compiles for minutes. */
const startMs = 600_000;

/** @throws Error when it does not come up */
export async function startVllmServer({ python, gguf, cache, more = [] }: VllmServerOptions): Promise<VllmServer> {
  const model = await hubDirectory(python, gguf, cache);
  const port = await freePort();
  const args = [
    'serve', model, '--served-model-name', vllmModel, '--host', '127.0.0.1', '--port', String(port), '--dtype', 'float32', '--max-model-len', '2048', '--max-num-seqs', '16',
    '--logprobs-mode', 'processed_logprobs', '--generation-config', 'vllm', '--enable-lora', '--max-lora-rank', '16', '--max-loras', '2',
    '--enable-auto-tool-choice', '--tool-call-parser', 'hermes', ...more,
  ];
  const env = { ...process.env, HF_HUB_OFFLINE: '1', VLLM_ALLOW_RUNTIME_LORA_UPDATING: 'True', VLLM_CPU_KVCACHE_SPACE: '2', VLLM_NO_USAGE_STATS: '1', DO_NOT_TRACK: '1', VLLM_LOGGING_LEVEL: 'ERROR' };
  const server = await startProgram(join(dirname(python), 'vllm'), args, { port, readyPath: '/health', startMs, env });
  return { ...server, model, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

/** The GGUF file as a Hugging Face directory, tokenizer and chat template included. */
async function hubDirectory(python: string, gguf: string, cache: string): Promise<string> {
  const directory = await exportPath(gguf, cache);
  if (existsSync(join(directory, 'tokenizer.json'))) return directory;
  const temporary = mkdtempSync(join(cache, 'tokenizer-'));
  try {
    await runForJson(python, ['-W', 'ignore', join(import.meta.dirname, 'hf_tokenizer.py'), gguf, temporary]);
    // The file that says that they are there comes last.
    for (const file of readdirSync(temporary).sort((a, b) => Number(a === 'tokenizer.json') - Number(b === 'tokenizer.json'))) copyFileSync(join(temporary, file), join(directory, file));
  } finally {
    rmSync(temporary, { recursive: true });
  }
  return directory;
}
