/** `node place-on-webgpu.ts MODEL`: opens a stored model's training graph on webgpu; the runtime's verbose log says which node went where. */
import { InferenceSession } from 'onnxruntime-node';
import { encodeModel, lowerForWebGpu, shareCommonSubexpressions } from '../../../model/graph/index.ts';
import { goldenTrainingGraph } from '../../model/graph/passes/training-graph.ts';

const model = encodeModel(shareCommonSubexpressions(lowerForWebGpu(goldenTrainingGraph(process.argv[2] ?? ''))));
const session = await InferenceSession.create(model, { executionProviders: ['webgpu'], logSeverityLevel: 0 });
await session.release();
