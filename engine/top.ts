/**
 * The ids of the `count` largest values, largest first; of equal values the lower id first. A min-heap of the best so far: one
 * comparison for most of the vocabulary.
 */
export function topIds(values: Float32Array, count: number): Int32Array {
  const size = Math.min(count, values.length);
  if (size === 0) return new Int32Array(0);
  const heap = new Int32Array(size);
  const value = (id: number) => values[id] ?? -Infinity;
  const isWorse = (a: number, b: number) => value(a) < value(b) || (value(a) === value(b) && a > b);
  const siftDown = (start: number) => {
    for (let at = start; ;) {
      const left = 2 * at + 1, right = left + 1;
      let worst = at;
      if (left < size && isWorse(heap[left] ?? 0, heap[worst] ?? 0)) worst = left;
      if (right < size && isWorse(heap[right] ?? 0, heap[worst] ?? 0)) worst = right;
      if (worst === at) return;
      const moved = heap[at] ?? 0;
      heap[at] = heap[worst] ?? 0;
      heap[worst] = moved;
      at = worst;
    }
  };
  for (let id = 0; id < size; id++) heap[id] = id;
  for (let at = size >> 1; at >= 0; at--) siftDown(at);
  let floor = value(heap[0] ?? 0);
  for (let id = size; id < values.length; id++) {
    if (value(id) <= floor) continue;
    heap[0] = id;
    siftDown(0);
    floor = value(heap[0] ?? 0);
  }
  return heap.sort((a, b) => value(b) - value(a) || a - b);
}
