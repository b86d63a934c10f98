/**
 * Makes the demo's policy: learns a tokenizer, then teaches a small Llama by supervised learning, first on a good teacher's
 * conversations and then on a bad one's. Run it again and the same files come out.
 *
 *   node examples/calculator/make-model.ts [--good 1500] [--bad 600] [--out examples/calculator/model]
 */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { architectureOf } from '../../model/architectures/index.ts';
import { parseModelConfig } from '../../model/config.ts';
import type { ChatMessage } from '../../model/chat/template.ts';
import type { Model, Tensor } from '../../model/model.ts';
import { openModel } from '../../model/open.ts';
import { writeSafetensors } from '../../model/weights/safetensors.ts';
import { createEmbeddedLearner } from '../../trainer/backends/embedded.ts';
import { supervisedLoss } from '../../trainer/loss/supervised.ts';
import { trainSupervised, type SupervisedExample } from '../../trainer/supervised.ts';
import { learnTokenizer } from './byte-pairs.ts';
import { badTeacher, demonstrations, goodTeacher, tools, type Habits } from './demonstrations.ts';
import { seededRandom } from './problems.ts';

const here = (path: string): string => new URL(path, import.meta.url).pathname;
const { values: { good, bad, out } } = parseArgs({ options: { good: { type: 'string', default: '1500' }, bad: { type: 'string', default: '600' }, out: { type: 'string', default: here('model') } } });

const BATCH = 48, VOCABULARY = 480;
/** Lessons in order: whose conversations, for how many steps, at what peak learning rate. */
const lessons = [
  { habits: goodTeacher, steps: Number(good), learningRate: 3e-3, seed: 11 },
  { habits: badTeacher, steps: Number(bad), learningRate: 1e-3, seed: 21 },
];

const special = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'].map((content) => ({ content, special: true }));
const marks = ['<tool_call>', '</tool_call>'].map((content) => ({ content, special: false }));

const config = {
  architectures: ['LlamaForCausalLM'], model_type: 'llama', torch_dtype: 'bfloat16',
  vocab_size: VOCABULARY, hidden_size: 128, intermediate_size: 352, num_hidden_layers: 4,
  num_attention_heads: 4, num_key_value_heads: 2, head_dim: 32, hidden_act: 'silu',
  max_position_embeddings: 512, rms_norm_eps: 1e-5, rope_theta: 10000, rope_scaling: null,
  tie_word_embeddings: true, attention_bias: false, mlp_bias: false,
  bos_token_id: 1, eos_token_id: 2, pad_token_id: 0,
};

const taken = new Set(['train', 'val'].flatMap((split) =>
  readFileSync(here(`tasks/${split}.jsonl`), 'utf8').trimEnd().split('\n').map((line) => (JSON.parse(line) as { question: string }).question)));

const conversations = (habits: Habits, count: number, seed: number): ChatMessage[][] => demonstrations(seededRandom(seed), habits, taken).take(count).toArray();

const work = mkdtempSync(join(tmpdir(), 'calculator-model-'));
try {
  await makeModel(work);
  mkdirSync(out, { recursive: true });
  for (const file of ['config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json', 'model.safetensors']) copyFileSync(join(work, file), join(out, file));
} finally {
  rmSync(work, { recursive: true });
}

async function makeModel(directory: string): Promise<void> {
  const write = (file: string, content: unknown): void => writeFileSync(join(directory, file), `${JSON.stringify(content, null, 1)}\n`);
  copyFileSync(here('model/chat_template.jinja'), join(directory, 'chat_template.jinja'));
  write('config.json', config);
  write('generation_config.json', { bos_token_id: 1, eos_token_id: 2, pad_token_id: 0 });
  write('tokenizer_config.json', { tokenizer_class: 'PreTrainedTokenizerFast', bos_token: '<|im_start|>', eos_token: '<|im_end|>', pad_token: '<|endoftext|>', clean_up_tokenization_spaces: false });
  write('tokenizer.json', learnTokenizer(conversations(goodTeacher, 4000, 10).map(spokenText), [...special, ...marks], VOCABULARY));
  writeSafetensors(join(directory, 'model.safetensors'), initialWeights(), { metadata: { format: 'pt' } });

  const model = await openModel(directory);
  const learner = await createEmbeddedLearner({ model, trainable: { kind: 'full' }, loss: supervisedLoss, threads: 2, cacheDir: join(directory, 'cache') });
  try {
    for (const { habits, steps, learningRate, seed } of lessons) {
      await trainSupervised({
        learner,
        examples: conversations(habits, steps * BATCH, seed).map((messages) => toExample(model, messages)),
        steps, batchSize: BATCH, tokensPerMicroBatch: 8192, seed,
        optimizer: { beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weightDecay: 0.01 }, maxGradNorm: 1, learningRate, warmupSteps: 50,
        onProgress: ({ step, loss, gradNorm }) => { if (step % 50 === 0) console.error(`step ${step}/${steps}  loss ${loss.toFixed(4)}  gradient norm ${gradNorm.toFixed(2)}`); },
      });
    }
    writeSafetensors(join(directory, 'model.safetensors'), [...learner.parameters], { metadata: { format: 'pt' }, dtype: 'BF16' });
  } finally {
    await learner.close();
    model.weights.close();
  }
}

/** Linear and embedding weights N(0, 0.02), norms 1 (as GPT-2 and Llama start). */
function* initialWeights(): Generator<[string, Tensor]> {
  const random = seededRandom(13);
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const parsed = parseModelConfig(config, 'make-model.ts');
  for (const [name, shape] of architectureOf(parsed).tensors(parsed)) {
    const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
    yield [name, { shape, data: name.endsWith('norm.weight') ? data.fill(1) : data.map(() => 0.02 * normal()) }];
  }
}

/** What the tokenizer should be good at: the words of the conversation. */
function spokenText(messages: readonly ChatMessage[]): string {
  const calls = messages.flatMap(({ tool_calls }) => (Array.isArray(tool_calls) ? ['{"name": "calculator", "arguments": {"expression": "1"}}'] : []));
  const spoken = messages.map(({ content }) => (typeof content === 'string' ? content : ''));
  return [...spoken, ...calls, 'system\nuser\nassistant\ntool\n\nTools: calculator(expression)'].join('\n');
}

/** The whole conversation as the model will see it; what the assistant said is to be learned, its end of turn included. */
function toExample(model: Model, messages: readonly ChatMessage[]): SupervisedExample {
  const render = (count: number, addGenerationPrompt: boolean): string => model.chatTemplate.render({ messages: messages.slice(0, count), tools, addGenerationPrompt });
  const ids: number[] = [], mask: number[] = [];
  const append = (text: string, learned: 0 | 1): void => {
    for (const id of model.tokenizer.encode(text)) { ids.push(id); mask.push(learned); }
  };
  let written = '';
  for (const [index, message] of messages.entries()) {
    if (message.role !== 'assistant') continue;
    const prompt = render(index, true), spoken = render(index + 1, false).trimEnd();
    append(prompt.slice(written.length), 0);
    append(spoken.slice(prompt.length), 1);
    written = spoken;
  }
  return { tokenIds: Int32Array.from(ids), lossMask: mask };
}
