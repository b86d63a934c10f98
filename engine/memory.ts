/** What an engine takes at most, said and checked before it starts. Pure. */
import { linearModules } from '../model/lora-targets.ts';
import type { ModelConfig } from '../model/model.ts';
import { cacheShape } from './decode-graph.ts';
import { EngineError, type EngineOptions } from './engine.ts';

/** Bytes. */
export interface MemoryNeeds {
  readonly weights: number;
  /** Of all rows, each as long as the context. */
  readonly keysAndValues: number;
  /** What later requests may reuse. */
  readonly prefixes: number;
  readonly total: number;
}

const FLOAT_BYTES = 4;
/** 8 bits and a 32nd of a scale. */
const INT8_BYTES = 1 + FLOAT_BYTES / 32;
/** One arrangement for prompts, one for decoding. */
const ARRANGEMENTS = 2;

export function memoryNeeds(config: ModelConfig, { maxContext, maxRows, prefixCacheBytes, weights = 'float32' }: Pick<EngineOptions, 'maxContext' | 'maxRows' | 'prefixCacheBytes' | 'weights'>): MemoryNeeds {
  const embedding = config.vocabSize * config.hiddenSize;
  const multiplied = [...linearModules(config).values()].reduce((sum, [out, inner]) => sum + out * inner, embedding); // the head has the embedding's size
  const { layers, kvHeads, headDim } = cacheShape(config);
  const ofWeights = ARRANGEMENTS * multiplied * (weights === 'int8' ? INT8_BYTES : FLOAT_BYTES) + embedding * FLOAT_BYTES;
  const keysAndValues = maxRows * Math.min(maxContext, config.maxPositions) * 2 * layers * kvHeads * headDim * FLOAT_BYTES;
  return { weights: ofWeights, keysAndValues, prefixes: prefixCacheBytes, total: ofWeights + keysAndValues + prefixCacheBytes };
}

/** In one line. */
export const describeNeeds = ({ weights, keysAndValues, prefixes, total }: MemoryNeeds): string =>
  `at most ${mebibytes(total)} MiB: ${mebibytes(weights)} for weights, ${mebibytes(keysAndValues)} for keys and values of running requests, ${mebibytes(prefixes)} for prefixes to reuse`;

/**
 * @param available bytes that the process can still get
 * @throws EngineError `out_of_memory`
 */
export function requireMemory(needs: MemoryNeeds, available: number): void {
  if (needs.total <= available) return;
  throw new EngineError('out_of_memory', `The engine would take ${describeNeeds(needs)}; ${mebibytes(available)} MiB are available. Lower backend.maxRows, backend.maxContext or backend.prefixCacheBytes, set backend.weights to int8, or choose a smaller model.`);
}

const mebibytes = (bytes: number): number => Math.ceil(bytes / 2 ** 20);
