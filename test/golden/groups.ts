import { advantages } from './advantages.ts';
import { chat } from './chat.ts';
import type { Group } from './check.ts';
import { credit } from './credit.ts';
import { losses } from './losses.ts';
import { models } from './models.ts';
import { optim } from './optim.ts';
import { sampling } from './sampling.ts';
import { tokenizers } from './tokenizers.ts';

/** By the name of their folder in a set. */
export const groups: Readonly<Record<string, Group>> = { models, optim, losses, advantages, credit, sampling, tokenizers, chat };
