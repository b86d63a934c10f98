/** Random texts of a grammar, token by token, over a vocabulary of single characters and some longer pieces. */
import { GrammarCompiler } from '../../../engine/grammar/xgrammar.ts';
import type { Grammar } from '../../../model/grammar.ts';
import type { Tokenizer } from '../../../model/tokenizer.ts';

const pieces = ['true', 'false', 'null', '": "', '", "', '": ', '{"', '"}', 'é', '日', '<tool_call>', '</', 'think>'];
const tokens = ['<end>', '\n', ...Array.from({ length: 95 }, (_, i) => String.fromCodePoint(32 + i)), ...pieces];
const END = 0;
const bytes = tokens.map((token) => new TextEncoder().encode(token));

const unused = (): never => { throw new Error('not in these tests'); };
const tokenizer: Tokenizer = {
  vocabSize: tokens.length, bosToken: null, eosToken: '<end>', isSpecial: (id) => id === END, tokenBytes: (id) => bytes[id] ?? new Uint8Array(), tokenId: (token) => tokens.indexOf(token),
  encode: unused, encodeWithOffsets: unused, decode: unused, stream: unused,
};
export const compiler = new GrammarCompiler({ tokenizer, size: tokens.length, stopTokenIds: [END], spokenSpecials: [] });

/** Uniform numbers in [0, 1), the same ones for the same seed (Marsaglia's xorshift32). */
export function numbers(seed: number): () => number {
  let state = seed * 2654435761 | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** A text of the grammar; null where it has not ended after `maxTokens`. Brackets and quotes are closed more often than chance would. */
export async function walk(grammar: Grammar, random: () => number, maxTokens = 600): Promise<string | null> {
  const held = await compiler.begin(grammar, [END]);
  let text = '';
  try {
    for (let i = 0; i < maxTokens; i++) {
      const mask = await held.mask();
      const allowed = tokens.keys().filter((id) => ((mask[id >> 5] ?? 0) >>> (id & 31)) & 1).toArray();
      if (allowed.length === 0) throw new Error(`nothing may follow ${JSON.stringify(text)}`);
      const closing = allowed.find((id) => '"}]<,'.includes(tokens[id] ?? ' '));
      const any = allowed[Math.floor(random() * allowed.length)] ?? END;
      const id = allowed.includes(END) && random() < 0.5 ? END : closing !== undefined && random() < 0.3 ? closing : any;
      if (!held.accept(id)) throw new Error(`${JSON.stringify(tokens[id])} was allowed and then refused`);
      if (id === END) return text;
      text += tokens[id] ?? '';
    }
    return null;
  } finally {
    held.dispose();
  }
}

/** Whether a whole text is of the grammar. */
export async function accepts(grammar: Grammar, text: string): Promise<boolean> {
  const held = await compiler.begin(grammar, [END]);
  try {
    for (const character of text) {
      const id = tokens.indexOf(character);
      if (id < 0) throw new Error(`the vocabulary has no ${JSON.stringify(character)}`);
      if (!held.accept(id)) return false;
    }
    return held.accept(END);
  } finally {
    held.dispose();
  }
}
