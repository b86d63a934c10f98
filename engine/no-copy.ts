/**
 * Keeps onnxruntime-node from copying the keys and values at every step.
 *
 * The binding copies each fetched output into a new array, also one that was preallocated and that the kernel has written in
 * place; with caches as outputs that is most of a decode step (at 512 positions of SmolLM2 4.5 ms a row). Outputs are converted
 * in order, and an output that is no tensor stops it with an error before anything is copied; everything was computed by then.
 * So the graph gets a first output of sequence type, and that one error means success. Should a later binding accept sequences,
 * the run simply returns, with copies. Seen in onnxruntime-node 1.30.0, `inference_session_wrap.cc` and `tensor_helper.cc`.
 */
import protobuf from 'protobufjs';

const NAME = 'stop_before_copying';
const MESSAGE = 'Non tensor type is temporarily not supported';

const field = (type: string, id: number) => ({ type, id });
const modelProto = protobuf.Root.fromJSON({
  nested: {
    ModelProto: { fields: { graph: field('GraphProto', 7) } },
    GraphProto: { fields: { node: { rule: 'repeated', ...field('NodeProto', 1) }, output: { rule: 'repeated', ...field('ValueInfoProto', 12) } } },
    NodeProto: { fields: { input: { rule: 'repeated', ...field('string', 1) }, output: { rule: 'repeated', ...field('string', 2) }, opType: field('string', 4) } },
    ValueInfoProto: { fields: { name: field('string', 1), type: field('TypeProto', 2) } },
    TypeProto: { fields: { tensorType: field('TensorTypeProto', 1), sequenceType: field('SequenceTypeProto', 4) } },
    TensorTypeProto: { fields: { elemType: field('int32', 1) } },
    SequenceTypeProto: { fields: { elemType: field('TypeProto', 1) } },
  },
}).lookupType('ModelProto');
const INT32 = 6;

/**
 * The model with the extra output in front. Serialized protobuf messages merge when they are joined, so the rest of the model
 * isn't touched. `input` is any int32 input of the graph.
 */
export function withStop(model: Uint8Array, input: string): Uint8Array {
  const stop = modelProto.encode({
    graph: {
      node: [{ opType: 'SequenceConstruct', input: [input], output: [NAME] }],
      output: [{ name: NAME, type: { sequenceType: { elemType: { tensorType: { elemType: INT32 } } } } }],
    },
  }).finish();
  return Buffer.concat([stop, model]);
}

/** To be fetched beside the preallocated outputs. */
export const stopFetch = { [NAME]: null };

/** Awaits a run whose outputs are all preallocated. */
export async function runInPlace(run: Promise<unknown>): Promise<void> {
  try {
    await run;
  } catch (error) {
    if (!(error instanceof Error && error.message.includes(MESSAGE))) throw error;
  }
}
