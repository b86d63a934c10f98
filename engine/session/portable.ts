/** A session through `onnxruntime-node` itself. The binding copies each fetched output, also one that was computed in place. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { SPIN_US } from './options.ts';
import type { Runtime, Session, SessionFile, TensorView, TensorViews } from './session.ts';

export class PortableRuntime implements Runtime {
  readonly kind = 'package';

  async open({ path, threads }: SessionFile): Promise<Session> {
    const session = await InferenceSession.create(path, {
      executionProviders: ['cpu'],
      graphOptimizationLevel: 'all',
      executionMode: 'sequential',
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      enableMemPattern: false, // as in native.ts
      extra: { session: { intra_op: { spin_duration_us: SPIN_US } } },
      logSeverityLevel: 4, // every error is thrown as well
    });
    return {
      inputNames: session.inputNames,
      async run(step, standing = []) {
        const parts = [step, ...standing];
        await session.run(joined(parts.map(({ inputs }) => inputs)), joined(parts.map(({ outputs }) => outputs)));
      },
      release: () => session.release(),
    };
  }
}

const joined = (parts: readonly TensorViews[]): Record<string, Tensor> => Object.fromEntries(parts.flatMap((views) => Object.entries(views).map(([name, view]) => [name, tensor(view)])));

function tensor({ data, shape }: TensorView): Tensor {
  if (data instanceof Float32Array) return new Tensor('float32', data, shape);
  return data instanceof Int32Array ? new Tensor('int32', data, shape) : new Tensor('int64', data, shape);
}
