/** A finished graph as the bytes of an ONNX model. */
import type { Attribute, Constant, ExternalData, Graph, Node } from '../graph.ts';
import { lowerOrder } from '../passes/order.ts';
import type { Value, ValueType } from '../value.ts';
import { eagerOutputs } from './run-order.ts';
import { ATTRIBUTE_TYPE, DATA_TYPE, EXTERNAL, modelProto } from './schema.ts';

const IR_VERSION = 10;
const OPSETS = [{ domain: '', version: 21 }, { domain: 'com.microsoft', version: 1 }];

/**
 * The graph's outputs and what they need; the rest is left out. External tensors are named by file and offset, relative to where the
 * bytes are written. The same graph gives the same bytes.
 */
export function encodeModel(source: Graph): Uint8Array {
  const graph = lowerOrder(source);
  const { names, copies } = outputNames(graph);
  return modelProto.encode({
    irVersion: IR_VERSION,
    producerName: 'fulgurite',
    opsetImport: OPSETS,
    graph: {
      name: 'graph',
      node: [...eagerOutputs(graph.nodes).map((node, i) => encodeNode(node, i, names)), ...copies.map(([name, value]) => ({ name: `output_${name}`, opType: 'Identity', input: [names.get(value) ?? value.name], output: [name] }))],
      initializer: [...graph.constants.map(encodeConstant), ...graph.externals.map(encodeExternal)],
      input: graph.inputs.map((input) => encodeValueInfo(input.name, input)),
      output: [...graph.outputs].map(([name, value]) => encodeValueInfo(name, value)),
    },
  }).finish();
}

/**
 * A computed value is emitted under its output's name, so that an output costs no copy. What already has a name (an input, a
 * constant, a second output of one value) needs an Identity node.
 */
function outputNames(graph: Graph): { readonly names: ReadonlyMap<Value, string>; readonly copies: readonly (readonly [string, Value])[] } {
  const computed = new Set(graph.nodes.flatMap((node) => node.outputs));
  const names = new Map<Value, string>();
  const copies: (readonly [string, Value])[] = [];
  for (const [name, value] of graph.outputs) {
    if (computed.has(value) && !names.has(value)) names.set(value, name);
    else copies.push([name, value]);
  }
  return { names, copies };
}

const encodeNode = (node: Node, index: number, names: ReadonlyMap<Value, string>): object => ({
  name: `${node.type}_${index}`,
  opType: node.type,
  domain: node.domain,
  input: node.inputs.map((input) => (input ? names.get(input) ?? input.name : '')),
  output: node.outputs.map((output) => names.get(output) ?? output.name),
  attribute: Object.entries(node.attributes).map(([name, attribute]) => encodeAttribute(name, attribute)),
});

function encodeAttribute(name: string, attribute: Attribute): object {
  if (typeof attribute === 'number') return { name, type: ATTRIBUTE_TYPE.int, i: attribute };
  if (typeof attribute === 'string') return { name, type: ATTRIBUTE_TYPE.string, s: Buffer.from(attribute) };
  if ('float' in attribute) return { name, type: ATTRIBUTE_TYPE.float, f: attribute.float };
  if ('zeros' in attribute) return { name, type: ATTRIBUTE_TYPE.tensor, t: { dims: [1], dataType: DATA_TYPE[attribute.zeros], rawData: new Uint8Array(attribute.zeros === 'int64' ? 8 : 4) } };
  return { name, type: ATTRIBUTE_TYPE.ints, ints: [...attribute] };
}

const encodeConstant = ({ value, data }: Constant): object => ({
  name: value.name,
  dataType: DATA_TYPE[value.dtype],
  dims: value.shape,
  rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
});

function encodeExternal({ value, data }: { readonly value: Value; readonly data: ExternalData }): object {
  const bytes = value.shape.reduce<number>((total, dim) => total * Number(dim), value.dtype === 'uint8' ? 1 : 4);
  const entry = (key: string, text: string | number): object => ({ key, value: String(text) });
  return { name: value.name, dataType: DATA_TYPE[value.dtype], dims: value.shape, dataLocation: EXTERNAL, externalData: [entry('location', data.location), entry('offset', data.offset), entry('length', bytes)] };
}

const encodeValueInfo = (name: string, { dtype, shape }: ValueType): object => ({
  name,
  type: { tensorType: { elemType: DATA_TYPE[dtype], shape: { dim: shape.map((dim) => (typeof dim === 'number' ? { dimValue: dim } : { dimParam: dim })) } } },
});
