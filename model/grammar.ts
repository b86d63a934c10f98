/** What a text may be, as plain data. The formats that models write tool calls in say it (model/chat/), the engine holds sampling to it (engine/grammar/). */

export type JsonSchema = boolean | Readonly<Record<string, unknown>>;

/** Text between two fixed ones. */
export interface Tagged {
  readonly begin: string;
  readonly content: Grammar;
  readonly end: string;
}

export type Grammar =
  /** A JSON value. `root`: the schema that its `$ref`s are about, where it is a part of one. */
  | { readonly type: 'json'; readonly schema: JsonSchema; readonly root?: JsonSchema }
  /** Exactly this. */
  | { readonly type: 'literal'; readonly text: string }
  /** Any text, up to what must follow it. */
  | { readonly type: 'any' }
  | { readonly type: 'sequence'; readonly parts: readonly Grammar[] }
  | { readonly type: 'either'; readonly of: readonly Grammar[] }
  | { readonly type: 'tagged' } & Tagged
  /** One or more of the tags, nothing else. */
  | { readonly type: 'tags'; readonly tags: readonly Tagged[]; readonly separator: string; readonly onlyOne: boolean }
  /** Any text; where `trigger` is written, one of the tags (they begin with it) must follow. */
  | { readonly type: 'text_with_tags'; readonly trigger: string; readonly tags: readonly Tagged[] };
