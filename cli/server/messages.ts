/** What a command and the server process that it started say to each other. */
import type { Config } from '../../config/schema.ts';

export type ToServer =
  | { readonly type: 'start'; readonly config: Config }
  | { readonly type: 'stop' };

export interface ServerFacts {
  /** `http://127.0.0.1:8700` */
  readonly url: string;
  readonly model: string;
  readonly version: number;
}

export type FromServer =
  | { readonly type: 'listening'; readonly facts: ServerFacts }
  | { readonly type: 'failed'; readonly message: string; readonly exitCode: number };
