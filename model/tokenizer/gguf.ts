/** The tokenizer inside a GGUF file, rebuilt as the `tokenizer.json` it was made from. */
import { z } from 'zod';
import { ModelError } from '../error.ts';
import type { Tokenizer } from '../tokenizer.ts';
import type { GgufMetadata } from '../weights/gguf/header.ts';
import { createTokenizer } from './create.ts';
import { mergesFromScores } from './sentencepiece.ts';

const id = z.int().nonnegative().optional();

const metadataSchema = z.object({
  model: z.string(),
  pre: z.string().optional(),
  tokens: z.array(z.string()),
  token_type: z.array(z.int()).optional(),
  scores: z.array(z.number()).optional(),
  merges: z.array(z.string()).optional(),
  bos_token_id: id,
  eos_token_id: id,
  unknown_token_id: id,
  padding_token_id: id,
  add_bos_token: z.boolean().optional(),
  add_eos_token: z.boolean().optional(),
  add_space_prefix: z.boolean().optional(),
});

type TokenizerMetadata = z.infer<typeof metadataSchema>;

/** llama.cpp's `llama_token_type`. */
const CONTROL = 3;
const USER_DEFINED = 4;

/**
 * @param source names the file in errors
 * @throws ModelError `corrupt`, `unsupported` (a tokenizer model or pre-tokenizer, by name)
 */
export function tokenizerFromGguf(metadata: GgufMetadata, source: string): Tokenizer {
  const prefix = 'tokenizer.ggml.';
  const raw = Object.fromEntries([...metadata].filter(([key]) => key.startsWith(prefix)).map(([key, value]) => [key.slice(prefix.length), value]));
  const parsed = metadataSchema.safeParse(raw);
  if (!parsed.success) throw new ModelError('corrupt', `${source}: tokenizer.ggml.${parsed.error.issues[0]?.path.join('.')} is missing or not valid.`);
  const tokenizer = parsed.data;
  const name = (index: number | undefined): string | undefined => (index === undefined ? undefined : tokenizer.tokens[index]);
  const config = { bos_token: name(tokenizer.bos_token_id), eos_token: name(tokenizer.eos_token_id), unk_token: name(tokenizer.unknown_token_id), pad_token: name(tokenizer.padding_token_id) };
  const parts = tokenizer.model === 'gpt2' ? byteLevel(tokenizer, source) : tokenizer.model === 'llama' ? sentencePiece(tokenizer, config.unk_token, source) : null;
  if (!parts) throw new ModelError('unsupported', `${source}: not supported: the tokenizer model "${tokenizer.model}" (gpt2 and llama are).`);
  return createTokenizer({ ...parts, added_tokens: addedTokens(tokenizer), post_processor: templateOf(tokenizer) }, config, source);
}

interface Parts {
  readonly model: Record<string, unknown>;
  readonly normalizer: object | null;
  readonly pre_tokenizer: object | null;
  readonly decoder: object;
}

const LLAMA3_SPLIT = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const QWEN2_SPLIT = LLAMA3_SPLIT.replace('\\p{N}{1,3}', '\\p{N}');

interface PreTokenizer {
  readonly steps: readonly object[];
  readonly normalizer: object | null;
  /** Whole words that are tokens are taken as such, whatever the merges would give. */
  readonly ignoreMerges: boolean;
}

const split = (pattern: string): object => ({ type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false });
const bytes = (useRegex: boolean): object => ({ type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: useRegex });
const llama3: PreTokenizer = { steps: [split(LLAMA3_SPLIT), bytes(false)], normalizer: null, ignoreMerges: true };

/** By `tokenizer.ggml.pre` (llama.cpp `llama-vocab.cpp`), as the models' own `tokenizer.json` have it. */
const PRE_TOKENIZERS: Readonly<Record<string, PreTokenizer>> = {
  smollm: { steps: [{ type: 'Digits', individual_digits: true }, bytes(true)], normalizer: null, ignoreMerges: false },
  'gpt-2': { steps: [bytes(true)], normalizer: null, ignoreMerges: false },
  'llama-bpe': llama3,
  llama3,
  'llama-v3': llama3,
  qwen2: { steps: [split(QWEN2_SPLIT), bytes(false)], normalizer: { type: 'NFC' }, ignoreMerges: false },
};

function byteLevel(tokenizer: TokenizerMetadata, source: string): Parts {
  const pre = PRE_TOKENIZERS[tokenizer.pre ?? 'default'];
  if (!pre) throw new ModelError('unsupported', `${source}: not supported: the pre-tokenizer "${tokenizer.pre ?? 'default'}" (${Object.keys(PRE_TOKENIZERS).join(', ')} are).`);
  // In a merge the two parts are separated by one space, and the byte alphabet has none.
  const merges = (tokenizer.merges ?? []).map((merge) => merge.split(' '));
  return {
    model: { type: 'BPE', vocab: vocabulary(tokenizer), merges, ignore_merges: pre.ignoreMerges, byte_fallback: false, fuse_unk: false, unk_token: null },
    normalizer: pre.normalizer,
    pre_tokenizer: { type: 'Sequence', pretokenizers: pre.steps },
    decoder: { type: 'ByteLevel' },
  };
}

function sentencePiece(tokenizer: TokenizerMetadata, unknownToken: string | undefined, source: string): Parts {
  if (!tokenizer.scores) throw new ModelError('corrupt', `${source}: a SentencePiece tokenizer without tokenizer.ggml.scores.`);
  const hasPrefix = tokenizer.add_space_prefix ?? true;
  const spaces = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  const decoders = [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' }];
  return {
    model: { type: 'BPE', vocab: vocabulary(tokenizer), merges: mergesFromScores(tokenizer.tokens, tokenizer.scores), ignore_merges: false, byte_fallback: true, fuse_unk: true, unk_token: unknownToken ?? null },
    normalizer: { type: 'Sequence', normalizers: hasPrefix ? [{ type: 'Prepend', prepend: '▁' }, spaces] : [spaces] },
    pre_tokenizer: null,
    decoder: { type: 'Sequence', decoders: hasPrefix ? [...decoders, { type: 'Strip', content: ' ', start: 1, stop: 0 }] : decoders },
  };
}

function vocabulary(tokenizer: TokenizerMetadata): Record<string, number> {
  return Object.fromEntries(tokenizer.tokens.map((token, index) => [token, index]));
}

function addedTokens(tokenizer: TokenizerMetadata): object[] {
  return tokenizer.tokens.flatMap((content, index) => {
    const type = tokenizer.token_type?.[index];
    if (type !== CONTROL && type !== USER_DEFINED) return [];
    return [{ id: index, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: type === CONTROL }];
  });
}

/** BOS before and EOS after the text, where the file asks for them. Unsaid, llama.cpp adds BOS for SentencePiece and Llama 3. */
function templateOf(tokenizer: TokenizerMetadata): object {
  const addsBos = tokenizer.add_bos_token ?? (tokenizer.model === 'llama' || PRE_TOKENIZERS[tokenizer.pre ?? ''] === llama3);
  const special = (index: number | undefined, isAdded: boolean | undefined): object[] => {
    const token = index === undefined || !isAdded ? undefined : tokenizer.tokens[index];
    return token === undefined ? [] : [{ SpecialToken: { id: token, type_id: 0 } }];
  };
  const single = [...special(tokenizer.bos_token_id, addsBos), { Sequence: { id: 'A', type_id: 0 } }, ...special(tokenizer.eos_token_id, tokenizer.add_eos_token)];
  return { type: 'TemplateProcessing', single, pair: [], special_tokens: {} };
}
