/** Every setting: type, default, unit and a sentence. The loader, `--help` and docs/configuration.md are made from this file. */
import { z } from 'zod';
import { algorithmSchema, correctionSchema, creditSchema } from './algorithms.ts';

const port = z.number().int().min(0).max(65535);
const positive = z.number().int().positive();

export const serverSchema = z.strictObject({
  host: z.string().default('127.0.0.1').describe('Address to listen on. Anything but loopback needs keys.'),
  port: port.default(8700).describe('Port to listen on; 0 picks a free one.'),
  maxBodyBytes: positive.default(16 * 1024 * 1024).describe('Largest request body, in bytes.'),
  maxPending: positive.default(1024).describe('Calls that may be open at once; more get 503 with retry-after.'),
  firstTokenTimeoutMs: positive.default(600_000).describe('Longest wait for the first token of a stream, in milliseconds; then the call is ended with an error.'),
  interTokenTimeoutMs: positive.default(120_000).describe('Longest wait for the next token of a stream, in milliseconds; then the call is ended with an error.'),
  shutdownTimeoutMs: z.number().int().min(0).default(10_000).describe('How long a server that is told to end waits for the calls that are open, in milliseconds; then they are ended with an error.'),
  keys: z.array(z.strictObject({
    key: z.string().min(8).describe('The secret, or "env:NAME" to read it from the environment.'),
    scope: z.enum(['agent', 'admin', 'metrics']).describe('What the key opens.'),
  })).default([]).describe('API keys. None are needed on loopback while this is empty.'),
}).describe('The HTTP server.');

/** How messages become text and answers are read, where that is done here. */
const textSettings = {
  chatTemplate: z.string().optional().describe('Path of a Jinja chat template to use instead of the model\'s own.'),
  toolFormat: z.enum(['hermes', 'llama-json', 'pythonic', 'qwen-coder', 'none']).default('hermes').describe('How the model writes tool calls: hermes (Qwen 2.5 and 3, ChatML models), llama-json (Llama 3.1 to 3.3), pythonic (Llama 3.2 and 4), qwen-coder (Qwen3-Coder).'),
  reasoning: z.enum(['auto', 'think', 'none']).default('auto').describe('Whether answers may begin with thoughts between <think> tags, which clients get as reasoning_content; auto: if the chat template mentions them.'),
};

export const embeddedBackendSchema = z.strictObject({
  kind: z.literal('embedded').describe('Run the policy in this process.'),
  model: z.string().describe('A Hugging Face directory, a .gguf file, or the id of a model in the HF_HOME cache.'),
  name: z.string().optional().describe('Public model name; default: the base name of the path.'),
  maxContext: positive.default(2048).describe('Longest prompt + completion, in tokens.'),
  maxRows: positive.default(16).describe('Sequences decoded in one batch.'),
  maxQueue: positive.default(1024).describe('Requests that may wait for a row; more get 503.'),
  maxQueueMs: positive.default(600_000).describe('Longest wait for a row, in milliseconds; then a request gets 503.'),
  maxStallMs: positive.default(100).describe('About how long reading a prompt may hold up answers that are being generated, between two of their tokens, in milliseconds.'),
  prefixCacheBytes: z.number().int().min(0).default(256 * 1024 * 1024).describe('Memory for keys and values that later requests may reuse, in bytes; 0 keeps none.'),
  threads: z.number().int().min(0).default(0).describe('Threads for one decode step; 0: as many as there are cores, one for models below 32 MB.'),
  weights: z.enum(['float32', 'int8']).default('float32').describe('What the weights of linear layers are kept in for serving. int8 reads a quarter of the memory in a step; its log-probs differ from those that training computes (fulgurite doctor says by how much), so training then needs trainer.correction.importance.'),
  swap: z.enum(['finish', 'cross']).default('finish').describe('What a running request does when the policy changes: finish on its version, or cross over.'),
  ...textSettings,
}).describe('The policy runs inside this process.');

export const openaiBackendSchema = z.strictObject({
  kind: z.literal('openai').describe('Call another server.'),
  baseUrl: z.url().describe('The server\'s /v1 URL.'),
  apiKey: z.string().optional().describe('Its key, or "env:NAME".'),
  model: z.string().optional().describe('Model name to send upstream; default: as the client sent it.'),
  tokenIds: z.enum(['auto', 'require', 'off']).default('auto').describe('Ask for token ids (vLLM\'s return_token_ids): auto asks and records honestly what comes.'),
  timeoutMs: positive.default(600_000).describe('Longest silence from the server, in milliseconds.'),
}).describe('Any OpenAI-compatible server.');

export const vllmBackendSchema = z.strictObject({
  kind: z.literal('vllm').describe('Call vLLM servers, and give them the adapters that are trained.'),
  baseUrls: z.array(z.url()).min(1).describe('The /v1 URL of each replica. All serve the same base model, and see the data directory under the same path.'),
  apiKey: z.string().optional().describe('Their key, or "env:NAME".'),
  name: z.string().optional().describe('Public model name; default: as the servers call their base model.'),
  model: z.string().optional().describe('The weights that the servers serve (a Hugging Face directory, or the id of a model in the HF_HOME cache): the trainer needs them.'),
  sleepWhileTraining: z.boolean().default(false).describe('For an accelerator that serves and trains: the servers sleep while a round is trained, and calls wait. They need --enable-sleep-mode and VLLM_SERVER_DEV_MODE=1.'),
  healthMs: positive.default(1000).describe('How often each replica is looked after, in milliseconds.'),
  timeoutMs: positive.default(600_000).describe('Longest silence from a server, in milliseconds.'),
}).describe('vLLM servers.');

/** Servers that are called by token ids. */
const tokenServer = {
  baseUrl: z.url().describe('The server\'s URL, without /v1.'),
  apiKey: z.string().optional().describe('Its key, or "env:NAME".'),
  model: z.string().describe('The model that it serves (a .gguf file, a Hugging Face directory, or the id of a model in the HF_HOME cache): its tokenizer and chat template are read here.'),
  name: z.string().optional().describe('Public model name; default: the base name of the path.'),
  ...textSettings,
  timeoutMs: positive.default(600_000).describe('Longest silence from the server, in milliseconds.'),
};

export const llamacppBackendSchema = z.strictObject({
  kind: z.literal('llamacpp').describe('Call a llama.cpp server by token ids.'),
  ...tokenServer,
}).describe('A llama.cpp server. Messages are rendered and answers are read here, so that every token is known.');

export const sglangBackendSchema = z.strictObject({
  kind: z.literal('sglang').describe('Call an SGLang server by token ids, and give it the adapters that are trained.'),
  ...tokenServer,
}).describe('An SGLang server. Messages are rendered and answers are read here, so that every token is known. For trained adapters it sees the data directory under the same path.');

export const trainerSchema = z.strictObject({
  enabled: z.boolean().default(true).describe('Start the trainer process beside the proxy.'),
  method: z.enum(['lora', 'full']).default('lora').describe('Train a LoRA adapter, or all parameters (small models).'),
  lora: z.strictObject({
    rank: positive.default(16).describe('Rank of the two factors.'),
    alpha: z.number().positive().default(32).describe('The update is scaled by alpha / rank.'),
    rsLora: z.boolean().default(false).describe('Scale by alpha / sqrt(rank) instead (arXiv 2312.03732).'),
    targets: z.array(z.string()).min(1).default(['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']).describe('Linear layers that get an adapter.'),
  }).prefault({}).describe('LoRA (arXiv 2106.09685).'),
  algorithm: algorithmSchema,
  credit: creditSchema,
  correction: correctionSchema,
  optimizer: z.strictObject({
    learningRate: z.number().positive().default(1e-4).describe('Step size.'),
    beta1: z.number().min(0).max(1).default(0.9).describe('Decay of the first moment.'),
    beta2: z.number().min(0).max(1).default(0.999).describe('Decay of the second moment.'),
    epsilon: z.number().positive().default(1e-8).describe('Added to the square root of the second moment.'),
    weightDecay: z.number().nonnegative().default(0).describe('Decoupled weight decay.'),
    maxGradNorm: z.number().positive().default(1).describe('Gradients are scaled down to this global norm.'),
    warmupSteps: z.number().int().nonnegative().default(0).describe('Optimizer steps over which the learning rate rises from 0.'),
    schedule: z.enum(['constant', 'linear', 'cosine']).default('constant').describe('How the step size goes on after warm-up: as it is, or down to a tenth, where it stays.'),
    totalSteps: positive.optional().describe('Updates, over all rounds, in which a linear or cosine schedule goes down; both need it.'),
  }).refine((optimizer) => optimizer.schedule === 'constant' || optimizer.totalSteps !== undefined, { path: ['totalSteps'], error: 'a linear or cosine schedule needs to know over how many updates it goes down' })
    .prefault({}).describe('AdamW (arXiv 1711.05101) with global-norm clipping.'),
  epochs: positive.default(1).describe('Passes over a round\'s steps.'),
  minibatches: positive.default(1).describe('Optimizer steps in a pass.'),
  tokensPerMicroBatch: positive.default(2048).describe('Padded tokens in one forward and backward: more take more memory and are hardly faster.'),
  maxSteps: positive.default(4096).describe('Steps (calls) that one round takes at most, newest first.'),
  maxStaleness: z.number().int().nonnegative().default(1).describe('Steps sampled by a policy older than this many versions are left out.'),
  acceptTruncatedSampling: z.boolean().default(false).describe('Also train on steps sampled with top_p < 1, top_k or min_p, whose log-probs are not of the full distribution.'),
  agents: z.array(z.string()).optional().describe('Train on the calls of these agents only.'),
  maxLogprobMismatch: z.number().positive().default(0.05).describe('Self-test: mean |recomputed − recorded| log-prob past which training is refused.'),
  promote: z.boolean().default(true).describe('Make a round\'s policy current as soon as it is published.'),
  seed: z.number().int().default(0).describe('Seed of the order of steps and of new adapters.'),
  device: z.enum(['cpu', 'webgpu', 'cuda']).default('cpu').describe('Where training computes: the CPU, whose rounds can be replayed to the same bytes, or a GPU (fulgurite doctor says which work here).'),
  threads: z.number().int().min(0).default(0).describe('Threads for training on the CPU; 0: as many as there are cores.'),
  recompute: z.enum(['auto', 'always', 'never']).default('auto').describe('Compute the forward pass again during the backward pass instead of keeping it: a third of the memory, about a third more time, the same bytes. auto: only where keeping it would not fit.'),
  maxMemoryMb: positive.optional().describe('Memory that the trainer may take, in MiB; a round that would need more is refused. Default: what is free.'),
  pollMs: positive.default(50).describe('How often the trainer looks for a requested round, in milliseconds.'),
}).superRefine(({ credit, algorithm }, context) => {
  if (credit.name === 'turn-values' && algorithm.name !== 'ppo') context.addIssue({ code: 'custom', path: ['credit', 'name'], message: 'turn-values needs a value head: only algorithm ppo has one' });
}).describe('The trainer.');

export const configSchema = z.strictObject({
  dataDir: z.string().default('data').describe('Where the database and the policies live; relative to the working directory.'),
  server: serverSchema.prefault({}),
  backend: z.discriminatedUnion('kind', [embeddedBackendSchema, openaiBackendSchema, vllmBackendSchema, llamacppBackendSchema, sglangBackendSchema]),
  trainer: trainerSchema.prefault({}),
  store: z.strictObject({
    durability: z.enum(['process', 'power']).default('process').describe('Committed steps survive a killed process, or also a loss of power (slower).'),
    busyTimeoutMs: positive.default(10_000).describe('How long a write waits while the database cannot take it (locked, disk full, read-only), in milliseconds; then its call gets 503 with retry-after.'),
    whenUnwritable: z.enum(['refuse', 'serve']).default('refuse').describe('What calls get after that, until the database can be written again: 503, or answers that nobody records (fulgurite_uncaptured_calls_total counts them).'),
  }).prefault({}).describe('The SQLite database.'),
  log: z.enum(['silent', 'info', 'debug']).default('info').describe('What is logged to stderr.'),
}).superRefine(({ backend, trainer }, context) => {
  if (backend.kind === 'vllm' && backend.sleepWhileTraining && backend.model === undefined) {
    context.addIssue({ code: 'custom', path: ['backend', 'sleepWhileTraining'], message: 'nothing is trained without backend.model' });
  }
  if ((backend.kind === 'vllm' || backend.kind === 'sglang' || backend.kind === 'llamacpp') && backend.model !== undefined && trainer.enabled && trainer.method === 'full') {
    context.addIssue({ code: 'custom', path: ['trainer', 'method'], message: 'other servers take adapters, not whole models: use lora' });
  }
  if (backend.kind !== 'embedded' || backend.weights === 'float32' || !trainer.enabled || trainer.correction.importance) return;
  context.addIssue({ code: 'custom', path: ['backend', 'weights'], message: 'int8 samples from a policy that is a little off the one that is trained: set trainer.correction.importance, or trainer.enabled to false' });
});

export type Config = z.infer<typeof configSchema>;
export type EmbeddedBackendConfig = z.infer<typeof embeddedBackendSchema>;
export type OpenAIBackendConfig = z.infer<typeof openaiBackendSchema>;
export type VllmBackendConfig = z.infer<typeof vllmBackendSchema>;
export type TrainerConfig = z.infer<typeof trainerSchema>;
