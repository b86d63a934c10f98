/** What the models of these tests say. */
import { chains } from '../proxy/backends/embedded/chain-model.ts';

/** Without the character of two tokens, which llama.cpp's server does not send whole. */
export const wholeCharacters = chains.map((chain) => chain.filter((token) => !['Ã', '©', ' caf'].includes(token)));
