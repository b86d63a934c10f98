import assert from 'node:assert/strict';
import { test } from 'node:test';
import { array, assert as check, integer, property, record } from 'fast-check';
import { FRESH_ROUND, nextAction, refusal, rowsInUse, tokenLimit, type Action, type Limits, type SchedulerState } from '../../engine/scheduler.ts';

const limits: Limits = { maxRows: 2, maxQueue: 3, maxQueueMs: 1000, maxContext: 64, chunk: 8, prefillBudget: 16 };
const idle: SchedulerState = { waiting: [], prefilling: null, unstarted: [], lanes: [], round: FRESH_ROUND };

const table: [string, Partial<SchedulerState>, Action][] = [
  ['nothing to do', {}, { type: 'idle' }],
  ['a waiting request gets a free row', { waiting: [{ id: 4 }, { id: 5 }] }, { type: 'admit', id: 4 }],
  ['one prompt at a time, in chunks', { waiting: [{ id: 5 }], prefilling: { id: 4, done: 8, length: 20 } }, { type: 'prefill', id: 4, from: 8, to: 16 }],
  ['a last token is not left alone', { prefilling: { id: 4, done: 8, length: 17 } }, { type: 'prefill', id: 4, from: 8, to: 15 }],
  ['the last chunk is what is left', { prefilling: { id: 4, done: 16, length: 20 } }, { type: 'prefill', id: 4, from: 16, to: 20 }],
  ['no row is free: decode', { waiting: [{ id: 4 }], lanes: [{ id: 0, rows: 2 }] }, { type: 'decode', lane: 0 }],
  ['past the budget streams come first', { prefilling: { id: 4, done: 16, length: 40 }, lanes: [{ id: 0, rows: 1 }], round: { prefilled: 16, decoded: [] } }, { type: 'decode', lane: 0 }],
  ['each lane decodes once', { lanes: [{ id: 0, rows: 1 }, { id: 1, rows: 1 }], round: { prefilled: 0, decoded: [0] } }, { type: 'decode', lane: 1 }],
  ['an empty lane does not decode', { lanes: [{ id: 0, rows: 0 }, { id: 1, rows: 1 }] }, { type: 'decode', lane: 1 }],
  ['then a new round', { lanes: [{ id: 0, rows: 1 }], round: { prefilled: 0, decoded: [0] } }, { type: 'nextRound' }],
  ['with no stream the prompt goes on', { prefilling: { id: 4, done: 16, length: 40 }, round: { prefilled: 16, decoded: [] } }, { type: 'nextRound' }],
  ['choices left over come before newer requests', { waiting: [{ id: 5 }], unstarted: [{ id: 4 }], lanes: [{ id: 0, rows: 1 }] }, { type: 'start', id: 4 }],
];
for (const [name, state, action] of table) {
  await test(name, () => assert.deepEqual(nextAction({ ...idle, ...state }, limits), action));
}

await test('refusals say the numbers', () => {
  assert.equal(refusal(63, 0, limits), null);
  assert.match(refusal(64, 0, limits)?.message ?? '', /64 tokens.*context of 64/);
  assert.equal(refusal(64, 9, limits)?.code, 'context_length_exceeded');
  assert.equal(refusal(1, 2, limits), null);
  assert.equal(refusal(1, 3, limits)?.code, 'queue_full');
  assert.equal(tokenLimit(60, 10, limits), 4);
  assert.equal(tokenLimit(60, 2, limits), 2);
});

interface Request { id: number; lane: number; prompt: number; choices: number; tokens: number; arrives: number }

/** Performs actions as the worker does, on counters alone. Returns at which action each request ended. */
function simulate(requests: Request[], limits: Limits): { ended: Map<number, number>; actions: Action[]; mostRows: number; order: number[] } {
  const arrivals = [...requests];
  const waiting: Request[] = [];
  let prefilling: { request: Request; done: number } | null = null;
  const unstarted: { request: Request; left: number }[] = [];
  const rows: { request: Request; left: number }[] = [];
  let round = FRESH_ROUND;
  const actions: Action[] = [], ended = new Map<number, number>(), order: number[] = [];
  let mostRows = 0;
  for (;;) {
    while (arrivals[0] && (arrivals[0].arrives <= actions.length)) waiting.push(arrivals.shift() as Request);
    const ids = [...new Set(rows.map(({ request }) => request.lane))].toSorted((a, b) => a - b);
    const state: SchedulerState = {
      waiting, prefilling: prefilling && { id: prefilling.request.id, done: prefilling.done, length: prefilling.request.prompt },
      unstarted: unstarted.map(({ request }) => ({ id: request.id })), round,
      lanes: ids.map((lane) => ({ id: lane, rows: rows.filter(({ request }) => request.lane === lane).length })),
    };
    mostRows = Math.max(mostRows, rowsInUse(state));
    const action = nextAction(state, limits);
    if (action.type === 'idle') {
      if (!arrivals.length) return { ended, actions, mostRows, order };
      actions.push(action); // time passes until the next arrival
      continue;
    }
    actions.push(action);
    assert.ok(actions.length < 20_000, 'no end');
    const byId = (id: number) => requests.find((request) => request.id === id) as Request;
    if (action.type === 'nextRound') round = FRESH_ROUND;
    if (action.type === 'admit') { prefilling = { request: byId(action.id), done: 0 }; waiting.shift(); order.push(action.id); }
    if (action.type === 'start') {
      const entry = unstarted[0] as { request: Request; left: number };
      rows.push({ request: entry.request, left: entry.request.tokens });
      if (--entry.left === 0) unstarted.shift();
    }
    if (action.type === 'prefill') {
      const request = byId(action.id);
      round = { ...round, prefilled: round.prefilled + action.to - action.from };
      prefilling = { request, done: action.to };
      if (action.to === request.prompt) {
        prefilling = null;
        rows.push({ request, left: request.tokens });
        if (request.choices > 1) unstarted.push({ request, left: request.choices - 1 });
      }
    }
    if (action.type === 'decode') {
      round = { ...round, decoded: [...round.decoded, action.lane] };
      for (const row of rows.filter(({ request }) => request.lane === action.lane)) row.left--;
      for (const row of rows.filter(({ left }) => left === 0)) {
        rows.splice(rows.indexOf(row), 1);
        ended.set(row.request.id, actions.length);
      }
    }
  }
}

const anyRequest = record({
  lane: integer({ min: 0, max: 2 }), prompt: integer({ min: 1, max: 60 }), choices: integer({ min: 1, max: 5 }),
  tokens: integer({ min: 1, max: 8 }), arrives: integer({ min: 0, max: 60 }),
});
const anyRequests = array(anyRequest, { minLength: 1, maxLength: 12 })
  .map((list) => list.toSorted((a, b) => a.arrives - b.arrives).map((request, id) => ({ ...request, id })));

await test('every request ends, in order of admission, and never more rows than allowed', () => {
  check(property(anyRequests, integer({ min: 1, max: 4 }), (requests, maxRows) => {
    const { ended, mostRows, order } = simulate(requests, { ...limits, maxRows });
    assert.equal(ended.size, requests.length);
    assert.ok(mostRows <= maxRows);
    assert.deepEqual(order, requests.map(({ id }) => id));
  }), { numRuns: 200 });
});

await test('a lane with rows never waits for more than budget + chunk tokens of prompts', () => {
  check(property(anyRequests, (requests) => {
    const { actions } = simulate(requests, limits);
    let read = 0;
    for (const action of actions) {
      if (action.type === 'decode') read = 0;
      if (action.type === 'prefill') read += action.to - action.from;
      if (action.type === 'nextRound') read = 0; // no lane had rows, or they decoded
      assert.ok(read < limits.prefillBudget + limits.chunk);
    }
  }), { numRuns: 100 });
});

await test('a prompt that comes in the middle of a round waits for the next', () => {
  const state = { ...idle, waiting: [{ id: 4 }], lanes: [{ id: 0, rows: 1 }], round: { prefilled: 0, decoded: [0] } };
  assert.deepEqual(nextAction(state, limits), { type: 'nextRound' });
  assert.deepEqual(nextAction({ ...state, round: FRESH_ROUND }, limits), { type: 'admit', id: 4 });
});
