import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { StopFilter } from '../../../../proxy/backends/tokens/stop-filter.ts';

/** By definition: the first character that completes a stop string ends the text; the longest stop string that ends there goes. */
function byDefinition(text: string, stops: readonly string[]): { text: string; stopped: boolean } {
  for (let end = 1; end <= text.length; end++) {
    const ending = stops.filter((stop) => text.slice(0, end).endsWith(stop)).sort((a, b) => b.length - a.length)[0];
    if (ending !== undefined) return { text: text.slice(0, end - ending.length), stopped: true };
  }
  return { text, stopped: false };
}

test('the result is the definition\'s, however the text is cut, and no beginning of a stop string leaks', () => {
  const letters = (options: object) => fc.string({ unit: fc.constantFrom('a', 'b', 'c'), ...options });
  fc.assert(fc.property(fc.array(letters({ maxLength: 4 })), fc.array(letters({ minLength: 1, maxLength: 4 }), { maxLength: 3 }), (pieces, stops) => {
    const filter = new StopFilter(stops);
    const expected = byDefinition(pieces.join(''), stops);
    let seen = '', stopped = false;
    for (const piece of pieces) {
      const filtered = filter.push(piece);
      seen += filtered.text;
      assert.ok(expected.text.startsWith(seen), 'nothing leaves that must not');
      stopped = filtered.stopped;
      if (stopped) break;
    }
    if (!stopped) seen += filter.end();
    assert.deepEqual({ text: seen, stopped }, expected);
  }), { numRuns: 2000 });
});

test('text leaves as soon as it cannot begin a stop string', () => {
  const filter = new StopFilter(['\n\nQ:']);
  assert.deepEqual(filter.push('answer\n'), { text: 'answer', stopped: false });
  assert.deepEqual(filter.push('more'), { text: '\nmore', stopped: false });
  assert.deepEqual(filter.push('\n\nQ'), { text: '', stopped: false });
  assert.deepEqual(filter.push(': next'), { text: '', stopped: true });
});
