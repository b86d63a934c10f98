/** What a training graph is fed with at each run, beside its parameters. */
import * as ort from 'onnxruntime-node';
import type { ModelConfig } from '../../model/model.ts';
import { ropesOf, ropeTables } from '../../model/rope.ts';
import type { MicroBatch } from '../learner.ts';
import { perTokenName, ropeName } from './training-graph.ts';

/** cos and sin of the first `time` positions, by their names in the graph. */
export function ropeTensors(config: ModelConfig, time: number): ReadonlyMap<string, ort.Tensor> {
  const shape = [time, config.headDim / 2];
  return new Map([...ropesOf(config)].flatMap(([table, rope]) => {
    const { cos, sin } = ropeTables(rope, config.headDim, time);
    return [[ropeName('cos', table), new ort.Tensor('float32', cos, shape)], [ropeName('sin', table), new ort.Tensor('float32', sin, shape)]] as const;
  }));
}

/** A micro-batch by the names in the graph. */
export function batchTensors(batch: MicroBatch): [string, ort.Tensor][] {
  const trained = [batch.positions.length];
  const all = [batch.batch, batch.time];
  const { places, seenUntil } = batch.branches ?? { places: batch.tokenIds.map((_, i) => i % batch.time), seenUntil: batch.tokenIds.map(() => batch.time) };
  return [
    ['token_ids', new ort.Tensor('int32', batch.tokenIds, all)],
    ['places', new ort.Tensor('int32', places, all)],
    ['seen_until', new ort.Tensor('int32', seenUntil, all)],
    ['positions', new ort.Tensor('int32', batch.positions, trained)],
    ['targets', new ort.Tensor('int32', batch.targets, trained)],
    ['inverse_temperature', new ort.Tensor('float32', batch.temperature.map((t) => 1 / t), trained)],
    ...(batch.sequences ? [['sequences', new ort.Tensor('int32', batch.sequences, trained)] satisfies [string, ort.Tensor]] : []),
    ...Object.entries(batch.perToken).map(([name, data]): [string, ort.Tensor] => [perTokenName(name), new ort.Tensor('float32', data, trained)]),
  ];
}
