/** Every operation's gradient against central differences of its own forward pass. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as graphPackage from '../../../model/graph/index.ts';
import {
  abs, add, attention, clip, concat, div, exp, expandAs, gather, geluTanh, gemm, Graph, gradients, log, matmul, max, min, mul, neg, reduceSum, reshape, reshapeAs,
  reshapeTo, rmsNorm, rotary, shapeOf, sigmoid, silu, split, sqrt, sub, tokenDistribution, transpose, where, type Value,
} from '../../../model/graph/index.ts';
import { compile, type Feed } from './run.ts';

interface Case {
  readonly name: string;
  /** The differentiable inputs. */
  readonly shapes: readonly (readonly number[])[];
  readonly build: (inputs: readonly Value[]) => Value;
  /** Where the inputs lie; default [-1, 1]. */
  readonly from?: number;
  readonly to?: number;
}

// Values in [-1, 1] with gaps, so that no difference quotient crosses a kink (a tie, a bound, zero).
function spread(count: number, from: number, to: number, phase: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => from + ((to - from) * (((i * 7 + phase * 3) % 17) + 0.5 + 0.11 * phase)) / 17.7);
}

const given = (inputs: readonly Value[], i: number): Value => inputs[i] ?? assert.fail(`input ${i}`);
const unary = (op: (x: Value) => Value) => (inputs: readonly Value[]) => op(given(inputs, 0));
const binary = (op: (a: Value, b: Value) => Value) => (inputs: readonly Value[]) => op(given(inputs, 0), given(inputs, 1));
const ints = (graph: Graph, numbers: readonly number[]): Value => graph.constant(Int32Array.from(numbers), [numbers.length]);
const floats = (graph: Graph, shape: readonly number[], phase: number): Value => graph.constant(spread(shape.reduce((a, b) => a * b, 1), -1, 1, phase), shape);

const broadcasts: readonly (readonly (readonly number[])[])[] = [[[2, 3], [2, 3]], [[2, 3], [3]], [[2, 1], [1, 3]], [[], [2, 3]]];
const trueOrFalse = [false, true];

const cases: Case[] = [
  { name: 'neg', shapes: [[2, 3]], build: unary(neg) },
  { name: 'exp', shapes: [[2, 3]], build: unary(exp) },
  { name: 'log', shapes: [[2, 3]], build: unary(log), from: 0.5, to: 2 },
  { name: 'sqrt', shapes: [[2, 3]], build: unary(sqrt), from: 0.5, to: 2 },
  { name: 'abs', shapes: [[2, 3]], build: unary(abs) },
  { name: 'sigmoid', shapes: [[2, 3]], build: unary(sigmoid) },
  { name: 'silu', shapes: [[2, 3]], build: unary(silu), from: -3, to: 3 },
  { name: 'geluTanh', shapes: [[2, 3]], build: unary(geluTanh), from: -3, to: 3 },
  { name: 'clip', shapes: [[3, 4]], build: unary((x) => clip(x, -0.42, 0.37)) },
  ...broadcasts.flatMap((shapes): Case[] => [
    { name: `add ${JSON.stringify(shapes)}`, shapes, build: binary(add) },
    { name: `sub ${JSON.stringify(shapes)}`, shapes, build: binary(sub) },
    { name: `mul ${JSON.stringify(shapes)}`, shapes, build: binary(mul) },
    { name: `div ${JSON.stringify(shapes)}`, shapes, build: binary(div), from: 0.5, to: 2 },
    { name: `min ${JSON.stringify(shapes)}`, shapes, build: binary(min) },
    { name: `max ${JSON.stringify(shapes)}`, shapes, build: binary(max) },
    { name: `where ${JSON.stringify(shapes)}`, shapes, build: binary((a, b) => where(graphPackage.greater(floats(a.graph, [2, 3], 5), 0), a, b)) },
  ]),
  { name: 'a number and a value', shapes: [[3]], build: unary((x) => sub(2, mul(div(1, x), 3))), from: 1, to: 2 },
  { name: 'reduceSum', shapes: [[2, 3]], build: unary((x) => reduceSum(x)) },
  { name: 'reduceSum axis 1 of 3', shapes: [[2, 3, 2]], build: unary((x) => reduceSum(x, [1])) },
  { name: 'reduceSum last, kept', shapes: [[2, 3]], build: unary((x) => reduceSum(x, [-1], { keep: true })) },
  { name: 'expandAs', shapes: [[2, 1]], build: unary((x) => expandAs(x, floats(x.graph, [4, 2, 3], 1))) },
  { name: 'segmentTotal', shapes: [[5]], build: unary((x) => mul(graphPackage.segmentTotal(x, ints(x.graph, [3, 0, 3, 1, 0])), x)) },
  { name: 'reshape', shapes: [[2, 6]], build: unary((x) => mul(reshape(x, [0, 3, -1]), floats(x.graph, [2, 3, 2], 2))) },
  { name: 'reshapeTo', shapes: [[2, 6]], build: unary((x) => mul(reshapeTo(x, x.graph.integers(3, 4), [3, 4]), floats(x.graph, [3, 4], 2))) },
  { name: 'reshapeAs', shapes: [[2, 6]], build: unary((x) => reshapeAs(x, floats(x.graph, [3, 4], 2))) },
  { name: 'transpose', shapes: [[2, 3, 4]], build: unary((x) => transpose(x, [2, 0, 1])) },
  { name: 'concat', shapes: [[2, 3], [2, 1]], build: binary((a, b) => concat([a, b, a], -1)) },
  { name: 'split', shapes: [[2, 5]], build: unary((x) => { const [a, b] = split(x, [2, 3], 1); return a && b ? mul(reduceSum(b, [1], { keep: true }), a) : assert.fail(); }) },
  { name: 'split, one piece unused', shapes: [[2, 5]], build: unary((x) => split(x, [2, 3], 1)[1] ?? assert.fail()) },
  { name: 'gather, a row twice', shapes: [[4, 3]], build: unary((x) => gather(x, ints(x.graph, [2, 0, 2, 3]))) },
  ...trueOrFalse.flatMap((transA) => trueOrFalse.flatMap((transB): Case[] => [
    { name: `gemm ${transA ? 'Aᵀ' : 'A'}${transB ? 'Bᵀ' : 'B'}`, shapes: [transA ? [3, 2] : [2, 3], transB ? [4, 3] : [3, 4]], build: binary((a, b) => gemm(a, b, { transA, transB, alpha: 0.7 })) },
    { name: `matmul ${transA ? 'Aᵀ' : 'A'}${transB ? 'Bᵀ' : 'B'}`, shapes: [[2, ...(transA ? [3, 2] : [2, 3])], [2, ...(transB ? [4, 3] : [3, 4])]], build: binary((a, b) => matmul(a, b, { transA, transB, alpha: 0.7 })) },
  ])),
  { name: 'rmsNorm', shapes: [[3, 4], [4]], build: binary((x, weight) => rmsNorm(x, weight, 1e-5)) },
  { name: 'rotary', shapes: [[1, 2, 3, 4]], build: unary((x) => rotary(x, floats(x.graph, [3, 2], 1), floats(x.graph, [3, 2], 2))) },
  { name: 'rotary by given positions', shapes: [[1, 2, 3, 4]], build: unary((x) => rotary(x, floats(x.graph, [5, 2], 1), floats(x.graph, [5, 2], 2), x.graph.constant(BigInt64Array.of(4n, 0n, 2n), [1, 3]))) },
  {
    name: 'attention',
    shapes: [[2, 4, 3, 4], [2, 2, 3, 4], [2, 2, 3, 4]],
    build: (inputs) => attention(given(inputs, 0), given(inputs, 1), given(inputs, 2), given(inputs, 0).graph.constant(Float32Array.of(0, -1e9, -1e9, 0, 0, -1e9, 0, 0, 0), [3, 3]), { scale: 0.5 }),
  },
  ...(['logprob', 'entropy', 'both'] as const).map((which): Case => ({
    name: `tokenDistribution ${which}`,
    shapes: [[3, 2], [5, 2]],
    from: -2,
    to: 2,
    build: binary((x, weight) => {
      const { logprob, entropy } = tokenDistribution(x, weight, ints(x.graph, [4, 0, 4]), x.graph.constant(Float32Array.of(1, 2, 0.5), [3]));
      return which === 'logprob' ? logprob : which === 'entropy' ? entropy : add(mul(logprob, 0.3), mul(entropy, entropy));
    }),
  })),
];

const STEP = 1 / 128;
const TOLERANCE = 1e-3;

async function checkGradient({ shapes, build, from = -1, to = 1 }: Case): Promise<void> {
  const graph = new Graph();
  const inputs = shapes.map((shape, i) => graph.input(`x${i}`, 'float32', shape));
  const y = build(inputs);
  // Each output element counts differently, so that none hides another's error.
  const weights = spread(y.shape.reduce<number>((n, dim) => n * Number(dim), 1), -1, 1, 3);
  const loss = reduceSum(mul(y, graph.constant(weights, y.shape.map(Number))));
  gradients(loss, inputs).forEach((gradient, i) => graph.output(`g${i}`, gradient));
  graph.output('y', y);
  const run = await compile(graph);
  const feeds: Record<string, Feed> = Object.fromEntries(shapes.map((shape, i) => [`x${i}`, { shape, data: spread(shape.reduce((a, b) => a * b, 1), from, to, i) }]));
  const weighted = async (): Promise<number> => { const { y: out } = await run(feeds); return weights.reduce((sum, weight, i) => sum + weight * (out?.[i] ?? Number.NaN), 0); };
  const analytic = await run(feeds);
  for (const i of shapes.keys()) {
    const data = feeds[`x${i}`]?.data;
    const gradient = analytic[`g${i}`];
    assert.ok(data instanceof Float32Array && gradient);
    assert.equal(gradient.length, data.length);
    for (const [at, value] of data.entries()) {
      data[at] = value + STEP;
      const above = await weighted();
      data[at] = value - STEP;
      const below = await weighted();
      data[at] = value;
      const numeric = (above - below) / (2 * STEP);
      assert.ok(Math.abs(numeric - (gradient[at] ?? Number.NaN)) <= TOLERANCE * Math.max(1, Math.abs(numeric)), `input ${i}, element ${at}: ${gradient[at]}, by differences ${numeric}`);
    }
  }
}

describe('the gradient is the slope', () => {
  for (const one of cases) test(one.name, () => checkGradient(one));
});

test('every operation of the package is in the table, or has no gradient to check', () => {
  const withoutGradient = ['and', 'cast', 'causalMask', 'detach', 'equal', 'greater', 'greaterOrEqual', 'groupedQueryAttention', 'less', 'lessOrEqual', 'not', 'shapeOf', 'softmax', 'zerosLike'];
  const notOperations = ['Graph', 'cachedHeadDim', 'canJoin', 'canRotate', 'GraphError', 'encodeModel', 'peakBytes', 'lowerForCpu', 'lowerForWebGpu', 'joinResidualNorms', 'removeDeadNodes', 'shareCommonSubexpressions', 'gradients', 'openWeightBlob'];
  const checked = new Set(cases.map(({ name }) => name.split(/[ ,]/)[0]));
  assert.deepEqual(Object.keys(graphPackage).filter((name) => !checked.has(name) && ![...withoutGradient, ...notOperations].includes(name)), []);
});

/** d Σ y / d x for one vector. */
async function slope(x: Float32Array, build: (x: Value) => Value, shape: readonly (number | string)[] = ['N']): Promise<number[]> {
  const graph = new Graph();
  const input = graph.input('x', 'float32', shape);
  const [gradient] = gradients(reduceSum(build(input)), [input]);
  graph.output('g', gradient ?? assert.fail());
  return [...(await (await compile(graph))({ x: { data: x, shape: [x.length] } })).g ?? []];
}

describe('at the edges the gradient is PyTorch\'s', () => {
  const x = Float32Array.of(-1, 0, 1);
  test('a tie of min and max is shared', async () => {
    assert.deepEqual(await slope(x, (v) => min(v, 0)), [1, 0.5, 0]);
    assert.deepEqual(await slope(x, (v) => max(v, 0)), [0, 0.5, 1]);
  });
  test('clip lets the bounds pass', async () => assert.deepEqual(await slope(x, (v) => clip(v, 0, 1)), [0, 1, 1]));
  test('abs of zero has none', async () => assert.deepEqual(await slope(x, abs), [-1, 0, 1]));
  test('detach cuts', async () => assert.deepEqual(await slope(x, (v) => mul(v, graphPackage.detach(v))), [-1, 0, 1]));
  test('what where leaves out does not leak, not even nan and infinity', async () => {
    const wild = Float32Array.of(Number.NaN, Infinity, 2);
    const masked = await slope(wild, (v) => { const mask = v.graph.constant(Float32Array.of(0, 0, 1), [3]); return log(where(graphPackage.equal(mask, 0), 1, v)); }, [3]);
    assert.deepEqual(masked, [0, 0, 0.5]);
  });
  test('shapes known only at run time', async () => {
    const wave = await slope(x, (v) => reshapeTo(mul(reshape(v, [-1, 1]), 2), shapeOf(v), v.shape));
    assert.deepEqual(wave, [2, 2, 2]);
  });
});
