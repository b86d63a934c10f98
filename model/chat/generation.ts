/**
 * `{% generation %}` … `{% endgeneration %}`: transformers' way for a template to say which text the assistant wrote (`chat_template_utils.AssistantTracker`).
 * The block becomes an `{% if %}` that is always taken, so that whitespace control stays what it was, and prints a mark at both ends when asked to.
 */

/** Where text of the assistant lies, `[start, end)` in UTF-16 units. */
export type Span = readonly [start: number, end: number];

/** Noncharacters (Unicode 23.7): no text that is meant for others has them. */
const BEGIN = '\uFDD0', END = '\uFDD1';

/** The variables that the rewritten blocks read. */
export const generationVariables = (isMarked: boolean): Readonly<Record<string, unknown>> =>
  ({ __generation: true, __generation_begin: isMarked ? BEGIN : '', __generation_end: isMarked ? END : '' });

export const generationAsIf = (source: string): string =>
  source.replace(/\{%([-+]?)\s*(end)?generation\s*(-?)%\}/g, (_, before: string, end: string | undefined, after: string) => `{%${before} ${end === undefined ? 'if __generation' : 'endif'} ${after}%}`);

/** A node of the parsed template: if it is such a block, its body gets the marks. `print` makes the node that prints a variable. */
export function markGeneration(node: Record<string, unknown>, print: (variable: string) => unknown): void {
  const { type, test, body } = node;
  if (type !== 'If' || typeof test !== 'object' || test === null || !('value' in test) || test.value !== '__generation' || !Array.isArray(body)) return;
  node['body'] = [print('__generation_begin'), ...body, print('__generation_end')];
}

/** Takes the marks out again. */
export function readMarks(marked: string): { readonly text: string; readonly spans: readonly Span[] } {
  const spans: Span[] = [];
  let text = '', start = 0;
  for (const piece of marked.split(/([\uFDD0\uFDD1])/)) {
    if (piece === BEGIN) start = text.length;
    else if (piece === END) spans.push([start, text.length]);
    else text += piece;
  }
  return { text, spans };
}
