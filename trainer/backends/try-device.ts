/** Does a device compute? A small layer's gradient there, and on the CPU. */
import * as ort from 'onnxruntime-node';
import { gemm, Graph, gradients, reduceSum, rmsNorm, silu } from '../../model/graph/index.ts';
import { TrainerError } from '../error.ts';
import type { Device } from './device.ts';
import { openSession } from './session.ts';

const rows = 3;
const width = 16;

/** @throws TrainerError `no_device` if it is not there or computes something else than the CPU */
export async function tryDevice(device: Device): Promise<void> {
  const [actual, expected] = [await gradientOn(device), await gradientOn('cpu')];
  const worst = expected.reduce((largest, value, i) => Math.max(largest, Math.abs(value - (actual[i] ?? Number.NaN))), 0);
  if (!(worst < 1e-4)) throw new TrainerError('no_device', `${device} computes a gradient that is off by ${worst}: its driver cannot be relied on.`);
}

async function gradientOn(device: Device): Promise<Float32Array> {
  const graph = new Graph();
  const x = graph.input('x', 'float32', [rows, width]);
  const weight = graph.input('weight', 'float32', [width, width]);
  const ones = graph.constant(new Float32Array(width).fill(1), [width]);
  const [gradient] = gradients(reduceSum(silu(gemm(rmsNorm(x, ones, 1e-6), weight, { transB: true }))), [weight]);
  if (gradient) graph.output('gradient', gradient);
  const session = await openSession(graph, null, { device, threads: 1 });
  try {
    const wave = (shape: readonly number[]) => new ort.Tensor('float32', Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i)), shape);
    const data = (await session.run({ x: wave([rows, width]), weight: wave([width, width]) }))['gradient']?.data;
    if (!(data instanceof Float32Array)) throw new TrainerError('no_device', `${device} gives no numbers.`);
    return data;
  } finally {
    await session.release();
  }
}
