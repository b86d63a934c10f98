/**
 * xgrammar (https://xgrammar.mlc.ai) from its npm package. That is built for browsers: its file calls itself an ES module, exports nothing and sets a global, and
 * asks `location` where it is. So it is loaded in a thread of its own, by this file alone.
 */
import type * as WebXgrammar from '@mlc-ai/web-xgrammar';
import type { CompiledGrammar, GrammarCompiler as LibraryCompiler } from '@mlc-ai/web-xgrammar';
import type { Grammar } from '../../model/grammar.ts';
import type { Tokenizer } from '../../model/tokenizer.ts';
import { structuralTag } from './structural-tag.ts';
import { utf8Texts, type Utf8Text } from './utf8.ts';

type Library = typeof WebXgrammar;

export interface Vocabulary {
  readonly tokenizer: Tokenizer;
  /** Width of the logits. */
  readonly size: number;
  readonly stopTokenIds: readonly number[];
  /** Special tokens that a grammar takes for the text they are written as; the others have none. */
  readonly spokenSpecials: readonly string[];
}

/** The library could not compile a grammar. */
export class CompileError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'CompileError';
  }
}

/** A text that a grammar holds, as it grows. */
export interface HeldText {
  /** Which tokens may come next: bit `id % 32` of word `id / 32`. */
  mask(): Promise<Int32Array>;
  /** False: the grammar does not let it through. */
  accept(tokenId: number): boolean;
  hasEnded(): boolean;
  dispose(): void;
}

/** Compiled grammars that are kept. */
const KEPT = 64;

export class GrammarCompiler {
  readonly #vocabulary: Vocabulary;
  readonly #compiled = new Map<string, CompiledGrammar>();
  readonly #newUtf8Text: () => Utf8Text;
  #instance: Promise<Instance> | null = null;
  #generation = 0;

  constructor(vocabulary: Vocabulary) {
    this.#vocabulary = vocabulary;
    this.#newUtf8Text = utf8Texts(textBytes(vocabulary), vocabulary.size);
  }

  /** Compiles, or has it already. @throws SchemaError, CompileError */
  async compile(grammar: Grammar): Promise<CompiledGrammar> {
    const key = JSON.stringify(grammar);
    const known = this.#compiled.get(key);
    if (known !== undefined) this.#compiled.delete(key); // to its new place, as the last used
    const compiled = known ?? await this.#compileAnew(grammar);
    this.#compiled.set(key, compiled);
    if (this.#compiled.size > KEPT) {
      const [[oldest, unused] = ['', compiled]] = this.#compiled;
      this.#compiled.delete(oldest);
      unused.dispose(); // its matchers go on
    }
    return compiled;
  }

  /** A text that begins. @throws what `compile` throws */
  async begin(grammar: Grammar, stopTokenIds: readonly number[]): Promise<HeldText> {
    const compiled = await this.compile(grammar);
    const matcher = await (await this.#open()).library.GrammarMatcher.createGrammarMatcher(compiled, [...stopTokenIds]);
    const characters = this.#newUtf8Text();
    return {
      async mask() {
        const mask = await matcher.getNextTokenBitmask();
        characters.restrict(mask);
        return mask;
      },
      accept(tokenId) {
        characters.accept(tokenId);
        return matcher.acceptToken(tokenId);
      },
      hasEnded: () => matcher.isTerminated(),
      dispose: () => { matcher.dispose(); },
    };
  }

  async #compileAnew(grammar: Grammar): Promise<CompiledGrammar> {
    const format = structuralTag(grammar);
    const { compiler } = await this.#open();
    const complaints = catchComplaints();
    try {
      return await compiler.compileStructuralTag({ type: 'structural_tag', format });
    } catch (error) {
      // An error aborts the WebAssembly module half-way through; the next grammar gets a new one. Compiled grammars of this one still match.
      this.#instance = null;
      this.#generation++;
      this.#compiled.clear();
      throw new CompileError(complaint(complaints.lines) ?? (error instanceof Error ? error.message : 'xgrammar does not take it'));
    } finally {
      complaints.restore();
    }
  }

  #open(): Promise<Instance> {
    return (this.#instance ??= openInstance(this.#vocabulary, this.#generation));
  }
}

interface Instance {
  readonly library: Library;
  readonly compiler: LibraryCompiler;
}

async function openInstance(vocabulary: Vocabulary, generation: number): Promise<Instance> {
  const url = import.meta.resolve('@mlc-ai/web-xgrammar');
  const scope = globalThis as typeof globalThis & { location?: unknown; xgrammar?: Library }; // what the package reads, and what it sets
  scope.location ??= new URL(url);
  await import(`${url}?${generation}`);
  const library = scope.xgrammar;
  if (library === undefined) throw new Error('@mlc-ai/web-xgrammar did not load');
  const tokens = await library.TokenizerInfo.createTokenizerInfo(encodedVocabulary(vocabulary), 'byte_level', false, vocabulary.size, [...vocabulary.stopTokenIds]);
  // Without its own cache: that would remember a compilation that was aborted as running.
  return { library, compiler: await library.GrammarCompiler.createGrammarCompiler(tokens, false) };
}

/** What a grammar takes a token for; nothing, for a special one that is not spoken. */
function textBytes({ tokenizer, spokenSpecials }: Vocabulary): (tokenId: number) => Uint8Array {
  const spoken = new Set(spokenSpecials.map((text) => tokenizer.tokenId(text)));
  const nothing = new Uint8Array();
  return (id) => (tokenizer.isSpecial(id) && !spoken.has(id) ? nothing : tokenizer.tokenBytes(id));
}

/** Each token's bytes in GPT-2's alphabet (openai/gpt-2 `encoder.py`, `bytes_to_unicode`): strings cannot hold bytes that are no text. */
function encodedVocabulary(vocabulary: Vocabulary): string[] {
  let next = 0x100;
  const alphabet = Array.from({ length: 256 }, (_, byte) => String.fromCodePoint((byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae ? byte : next++));
  const bytesOf = textBytes(vocabulary);
  return Array.from({ length: Math.min(vocabulary.size, vocabulary.tokenizer.vocabSize) }, (_, id) => Array.from(bytesOf(id), (byte) => alphabet[byte]).join(''));
}

/** The library writes why it aborts to the console. */
function catchComplaints(): { readonly lines: string[]; restore(): void } {
  const lines: string[] = [];
  const original = console.error;
  console.error = (...words: unknown[]) => { lines.push(words.join(' ')); };
  return { lines, restore: () => { console.error = original; } };
}

function complaint(lines: readonly string[]): string | null {
  const fatal = lines.find((line) => line.includes('[FATAL]'));
  return fatal === undefined ? null : fatal.replace(/^.*\[FATAL\] \S+ (Check failed: \(.*?\) is false: )?/, '');
}
