/** The thread that knows grammars: compiles them, and computes which tokens may come next while the engine's thread runs the model. */
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { openText } from '../../model/open.ts';
import { SchemaError } from './json/error.ts';
import { SHARED, type ChoiceMessage, type FromGrammar, type GrammarThreadData, type ToGrammar } from './protocol.ts';
import { CompileError, GrammarCompiler, type HeldText } from './xgrammar.ts';

const port = parentPort;
if (port === null) throw new Error('engine/grammar/worker.ts runs in a worker thread');
// Written by GrammarThread.
const { model, spokenSpecials } = workerData as GrammarThreadData;
const { config, tokenizer } = openText(model);
const compiler = new GrammarCompiler({ tokenizer, size: config.vocabSize, stopTokenIds: config.eosTokenIds, spokenSpecials });

interface Choice {
  readonly text: HeldText;
  readonly shared: Int32Array;
}

const choices = new Map<number, Choice>();

/** One after the other: the library is asynchronous by its signatures only. */
let turn = Promise.resolve();
const inTurn = (work: () => Promise<void>): void => { turn = turn.then(work); };

async function compile(message: ToGrammar & { type: 'compile' }): Promise<void> {
  const answer = (said: FromGrammar): void => { port?.postMessage(said); };
  try {
    await compiler.compile(message.grammar);
    answer({ type: 'compiled', id: message.id });
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    answer({ type: 'refused', id: message.id, message: text, isGrammar: error instanceof SchemaError || error instanceof CompileError });
  }
}

async function follow(message: ChoiceMessage): Promise<void> {
  if (message.type === 'end') {
    choices.get(message.id)?.text.dispose();
    choices.delete(message.id);
    return;
  }
  const shared = message.type === 'begin' ? message.shared : choices.get(message.id)?.shared;
  if (shared === undefined) return;
  try {
    if (message.type === 'begin') choices.set(message.id, { text: await compiler.begin(message.grammar, message.stopTokenIds), shared });
    const choice = choices.get(message.id);
    const isAccepted = message.type === 'begin' || choice?.text.accept(message.tokenId) === true;
    if (choice === undefined || !isAccepted || choice.text.hasEnded()) throw new Error('not a token of the grammar');
    shared.set(await choice.text.mask(), SHARED.mask);
  } catch {
    Atomics.store(shared, SHARED.failed, 1); // the engine's thread says so
  }
  Atomics.add(shared, SHARED.turn, 1);
  Atomics.notify(shared, SHARED.turn);
}

port.on('message', (message: ToGrammar) => {
  if (message.type === 'compile') inTurn(() => compile(message));
  else serve(message.port);
});

function serve(engine: MessagePort): void {
  engine.on('message', (message: ChoiceMessage) => { inTurn(() => follow(message)); });
}
