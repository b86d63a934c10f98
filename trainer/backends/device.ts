/** Where the trainer's graphs run: on the CPU, or on a GPU by another of ONNX Runtime's execution providers. */
import type { TrainerConfig } from '../../config/schema.ts';
import { type Graph, lowerForCpu, lowerForWebGpu } from '../../model/graph/index.ts';

/** `webgpu` comes with onnxruntime-node and needs a driver (Vulkan, Metal, Direct3D 12); `cuda` needs its libraries too (README, "Requirements"). */
export type Device = TrainerConfig['device'];

/** The graph in operations that a device computes, and computes rightly. */
export const lowerFor: Readonly<Record<Device, (graph: Graph) => Graph>> = {
  cpu: lowerForCpu,
  webgpu: lowerForWebGpu,
  cuda: (graph) => graph,
};

/** What to do where a device is asked for and not there. */
export const remedies: Readonly<Record<Exclude<Device, 'cpu'>, string>> = {
  webgpu: 'WebGPU needs a GPU with its driver, on Linux a Vulkan driver and libvulkan.so.1',
  cuda: "CUDA needs an NVIDIA GPU on Linux x64, CUDA 12 with cuDNN 9, and ONNX Runtime's CUDA libraries (remove the line in .npmrc before npm ci)",
};
