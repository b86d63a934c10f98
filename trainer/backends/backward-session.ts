/** The session that computes gradients, in one of two forms: the forward pass kept in memory, or computed again (`memory.ts` decides, before anything runs). */
import type * as ort from 'onnxruntime-node';
import { type Graph, peakBytes, shareCommonSubexpressions } from '../../model/graph/index.ts';
import type { MemoryPlan, MicroBatch } from '../learner.ts';
import { availableBytes, type MemoryOptions, planMemory, residentPeak, type Standing } from './memory.ts';

export interface BackwardSession {
  /** Settles the form for all of these. @throws TrainerError `not_enough_memory` */
  plan(batches: readonly MicroBatch[]): Promise<MemoryPlan>;
  get(): Promise<ort.InferenceSession>;
  close(): Promise<void>;
}

/** @param build the graph of either form  @param open called when the session is first asked for */
export function backwardSession(build: (recompute: boolean) => Graph, open: (graph: Graph) => Promise<ort.InferenceSession>, standing: Standing, options: MemoryOptions): BackwardSession {
  const available = availableBytes(standing, options);
  const forms = new Map<boolean, { readonly graph: Graph; readonly tensors: ReturnType<typeof peakBytes> }>();
  const form = (recompute: boolean): { readonly graph: Graph; readonly tensors: ReturnType<typeof peakBytes> } => {
    const known = forms.get(recompute);
    if (known) return known;
    const graph = build(recompute);
    const made = { graph, tensors: peakBytes(shareCommonSubexpressions(graph)) };
    forms.set(recompute, made);
    return made;
  };
  const needs = (recompute: boolean, batches: readonly MicroBatch[]): number =>
    residentPeak(standing, Math.max(0, ...batches.map(({ batch, time, positions }) => form(recompute).tensors({ batch, time, M: positions.length }))));

  let recompute = options.recompute === 'always';
  let session: Promise<ort.InferenceSession> | undefined;
  const close = async (): Promise<void> => {
    await (await session)?.release();
    session = undefined;
  };
  return {
    async plan(batches) {
      // Once again, always again: what the runtime has taken for the one form it would not give back for the other.
      const keeping = (): number => (recompute ? Infinity : needs(false, batches));
      const plan = planMemory(options, { keeping, recomputing: () => needs(true, batches) }, available);
      if (plan.recompute !== recompute) await close();
      ({ recompute } = plan);
      return plan;
    },
    get: () => (session ??= open(form(recompute).graph)),
    close,
  };
}
