/** The graph package's front door. Start at `graph.ts` (an example) and `op.ts` (what an operation is). */
export { Graph, type ExternalData } from './graph.ts';
export { gradients } from './grad.ts';
export { encodeModel, requiredInputs } from './onnx/encode.ts';
export { GraphError, type Dim, type DType, type Shape, type Value, type ValueType } from './value.ts';
export { attention } from './ops/attention.ts';
export { and, cast, detach, equal, greater, greaterOrEqual, less, lessOrEqual, not, where } from './ops/choose.ts';
export { abs, add, clip, div, exp, log, max, min, mul, neg, sigmoid, sqrt, sub, type Operand } from './ops/elementwise.ts';
export { gather } from './ops/gather.ts';
export { groupedQueryAttention, type CachedAttentionInputs } from './ops/grouped-query-attention.ts';
export { causalMask } from './ops/causal-mask.ts';
export { concat, reshape, reshapeAs, reshapeTo, shapeOf, split, transpose } from './ops/layout.ts';
export { gemm, matmul } from './ops/matmul.ts';
export { expandAs, reduceSum, zerosLike } from './ops/reduce.ts';
export { rmsNorm } from './ops/rms-norm.ts';
export { rotary } from './ops/rotary.ts';
export { silu } from './ops/silu.ts';
export { tokenDistribution } from './ops/token-distribution.ts';
export { openWeightBlob, type WeightBlob } from './weight-blob.ts';
