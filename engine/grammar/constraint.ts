/** The engine's side of a grammar: one choice, and the tokens that it may say next. */
import type { MessagePort } from 'node:worker_threads';
import type { Grammar } from '../../model/grammar.ts';
import { SHARED, type ChoiceMessage } from './protocol.ts';

/** A mask takes well under a millisecond; a thread that has not answered after this is taken for dead. */
const TIMEOUT_MS = 30_000;

export interface Constraint {
  /** Bit `id % 32` of word `id / 32`: whether the token may come next. Waits for the grammar thread, which computes it while the model runs. @throws GrammarError */
  mask(): Int32Array;
  accept(tokenId: number): void;
  /** The choice has ended, or is given up. */
  end(): void;
}

/** A choice's grammar can't be followed on: a fault of the thread's, not of the request's. */
export class GrammarError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'GrammarError';
  }
}

/** Begins choices over one channel to the grammar thread. */
export class Constraints {
  readonly #port: MessagePort;
  readonly #words: number;
  #lastId = 0;

  constructor(port: MessagePort, vocabSize: number) {
    this.#port = port;
    this.#words = Math.ceil(vocabSize / 32);
    port.unref();
  }

  begin(grammar: Grammar, stopTokenIds: readonly number[]): Constraint {
    const id = ++this.#lastId;
    const shared = new Int32Array(new SharedArrayBuffer((SHARED.mask + this.#words) * Int32Array.BYTES_PER_ELEMENT));
    let turn = 1;
    this.#post({ type: 'begin', id, grammar, stopTokenIds, shared });
    return {
      mask() {
        if (Atomics.load(shared, SHARED.turn) < turn) Atomics.wait(shared, SHARED.turn, turn - 1, TIMEOUT_MS);
        if (Atomics.load(shared, SHARED.turn) < turn) throw new GrammarError('The grammar thread does not answer.');
        if (Atomics.load(shared, SHARED.failed) !== 0) throw new GrammarError('The grammar thread could not follow the answer.');
        return shared.subarray(SHARED.mask);
      },
      accept: (tokenId) => {
        turn++;
        this.#post({ type: 'accept', id, tokenId });
      },
      end: () => { this.#post({ type: 'end', id }); },
    };
  }

  #post(message: ChoiceMessage): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#port.postMessage(message);
  }
}
