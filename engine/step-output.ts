/** What a step says of each row: logits after its last token, and their probabilities in a form that a token can be drawn from without walking the vocabulary. */
import type { TensorViews } from './session/session.ts';

/** Of n rows, one after the other. */
export interface StepOutput {
  /** `[rows, vocab]`. */
  readonly logits: Float32Array;
  /** `[rows, vocab]`: softmax of the logits at each row's temperature. */
  readonly probabilities: Float32Array;
  /** `[rows, vocab / block]`: sums of neighbouring probabilities. */
  readonly sums: Float32Array;
}

/** Names of the graph's outputs. */
export const outputNames = { logits: 'logits', probabilities: 'probabilities', sums: 'sums' } satisfies Record<keyof StepOutput, string>;

/**
 * How many probabilities are summed up together: as many as leave some hundred sums, if the vocabulary can be parted so. At least two sums: a single one of a single row would
 * be computed by another kernel than those of several rows, with other last bits.
 */
export function probabilityBlock(vocabSize: number): number {
  let block = Math.max(Math.min(128, vocabSize >> 1), 1);
  while (vocabSize % block !== 0) block--;
  return block;
}

const widths = (vocabSize: number): Record<keyof StepOutput, number> => ({ logits: vocabSize, probabilities: vocabSize, sums: vocabSize / probabilityBlock(vocabSize) });

/** Memory for the output of so many rows. */
export function newOutput(rows: number, vocabSize: number): StepOutput {
  const { logits, probabilities, sums } = widths(vocabSize);
  return { logits: new Float32Array(rows * logits), probabilities: new Float32Array(rows * probabilities), sums: new Float32Array(rows * sums) };
}

/** Rows `from … to − 1`: views. */
export function outputRows(output: StepOutput, vocabSize: number, from: number, to: number): StepOutput {
  const width = widths(vocabSize);
  return {
    logits: output.logits.subarray(from * width.logits, to * width.logits),
    probabilities: output.probabilities.subarray(from * width.probabilities, to * width.probabilities),
    sums: output.sums.subarray(from * width.sums, to * width.sums),
  };
}

/** As what a run writes. */
export function outputViews({ logits, probabilities, sums }: StepOutput, rows: number): TensorViews {
  const view = (data: Float32Array): TensorViews[string] => ({ data, shape: [rows, data.length / rows] });
  return { [outputNames.logits]: view(logits), [outputNames.probabilities]: view(probabilities), [outputNames.sums]: view(sums) };
}
