/**
 * Lowering for ONNX Runtime's WebGPU provider: operations that it lacks, which would run on the CPU with a copy there and back, or that
 * it computes wrongly, said by others. https://github.com/microsoft/onnxruntime/tree/main/onnxruntime/core/providers/webgpu
 */
import type { Graph, Node } from '../graph.ts';
import { node1 } from '../op.ts';
import { add, div, exp, log, mul, sqrt, sub } from '../ops/elementwise.ts';
import { transpose } from '../ops/layout.ts';
import { reduceSum } from '../ops/reduce.ts';
import { GraphError, type Value } from '../value.ts';
import { copyNode, rebuild, type Rewrite } from './rebuild.ts';

const rules: Readonly<Record<string, Rewrite>> = {
  /** Its second output, 1/√(mean(x²) + ε), is left unwritten. */
  SimplifiedLayerNormalization(to, node, inputs) {
    const [x, weight] = operands(node, inputs);
    const [y, r] = node.outputs;
    if (!x || !weight || !y || !r) throw new GraphError('SimplifiedLayerNormalization has two inputs and two outputs');
    const meanSquare = node1('ReduceMean', [mul(x, x), to.integers(-1)], r, { keepdims: 1 });
    return [node1(node.type, [x, weight], y, node.attributes), div(1, sqrt(add(meanSquare, floatOf(node, 'epsilon'))))];
  },

  FusedMatMul(_, node, inputs) {
    const [a, b] = operands(node, inputs);
    const [y] = node.outputs;
    if (!a || !b || !y) throw new GraphError('FusedMatMul has two inputs');
    const product = node1('MatMul', [turned(node, 'transA', a), turned(node, 'transB', b)], y);
    const alpha = floatOf(node, 'alpha');
    return [alpha === 1 ? product : mul(product, alpha)];
  },

  Sum: (_, node, inputs) => [operands(node, inputs).reduce(add)],

  LogSoftmax(to, node, inputs) {
    const [x] = operands(node, inputs);
    if (!x) throw new GraphError('LogSoftmax has one input');
    const axis = x.shape.length - 1;
    const largest = node1('ReduceMax', [x, to.integers(axis)], { dtype: 'float32', shape: [...x.shape.slice(0, -1), 1] }, { keepdims: 1 });
    const shifted = sub(x, largest);
    return [sub(shifted, log(reduceSum(exp(shifted), [axis], { keep: true })))];
  },

  /** Only zeros are made by it (`zerosLike`). */
  ConstantOfShape: (to, node, inputs) => node.outputs.map((output) => node1('Expand', [to.scalar(0), ...operands(node, inputs)], output)),
};

/** The same numbers to rounding, with nothing but arithmetic on shapes left to the CPU. */
export const lowerForWebGpu = (graph: Graph): Graph => rebuild(graph, (to, node, inputs) => (rules[node.type] ?? copyNode)(to, node, inputs));

const operands = (node: Node, inputs: Node['inputs']): Value[] =>
  inputs.map((input) => {
    if (!input) throw new GraphError(`${node.type} lacks an input`);
    return input;
  });

function floatOf({ type, attributes }: Node, name: string): number {
  const attribute = attributes[name];
  if (typeof attribute !== 'object' || !('float' in attribute)) throw new GraphError(`${type} has no float ${name}`);
  return attribute.float;
}

/** x with its last two axes exchanged, if the node says so. */
function turned({ attributes }: Node, name: string, x: Value): Value {
  const axes = x.shape.map((_, axis) => axis);
  return attributes[name] === 1 ? transpose(x, [...axes.slice(0, -2), axes.length - 1, axes.length - 2]) : x;
}
