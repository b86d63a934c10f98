import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import { listCandidateSteps } from '../../store/candidates.ts';
import { exportSteps } from '../../store/export.ts';
import { openDatabase, type Database } from '../../store/open.ts';
import { createRollout, type StartedRollout } from '../../store/rollouts.ts';
import { completeSteps, openSteps } from '../../store/step-writes.ts';
import { getStep, listSteps } from '../../store/steps.ts';
import { completeStep, openStep } from './rows.ts';
import { temporaryDatabase } from './temporary.ts';

interface Said { readonly id: string; readonly request: string; readonly promptIds: Int32Array; readonly completionIds: Int32Array }

/** `count` words and as many ids. */
function text(count: number, seed: number): { words: string; ids: number[] } {
  const ids = Array.from({ length: count }, (_, i) => Math.abs(Math.imul(seed * 7919 + i, 0x9e3779b1) >> 12) % 50_000);
  return { words: ids.map((id) => id.toString(36)).join(' '), ids };
}

/** One call after the other, each with all that was said before. */
function converse(db: Database, started: StartedRollout, turns: number, seed: number): Said[] {
  const messages: { role: string; content: string }[] = [];
  const ids: number[] = [];
  return Array.from({ length: turns }, (_, turn) => {
    const question = text(60, seed + turn), answer = text(40, seed + 1000 + turn);
    messages.push({ role: 'user', content: question.words });
    ids.push(...question.ids);
    const step = openStep(started, { sequence: turn, request: JSON.stringify({ model: 'demo', messages, temperature: 1 }) });
    const said = { id: step.id, request: String(step.request), promptIds: Int32Array.from(ids), completionIds: Int32Array.from(answer.ids) };
    openSteps(db, [step]);
    completeSteps(db, [completeStep(step.id, { promptIds: said.promptIds, completionIds: said.completionIds, logprobs: new Float32Array(40) })]);
    messages.push({ role: 'assistant', content: answer.words });
    ids.push(...answer.ids);
    return said;
  });
}

const bytesOf = (db: Database) => db.sqlite.prepare<[], { request: number; prompt: number }>('select sum(length(request)) as request, sum(length(prompt_ids)) as prompt from steps').get();
const rollout = (db: Database) => createRollout(db, { mode: 'train' });

function assertReads(db: Database, said: readonly Said[]): void {
  for (const { id, ...expected } of said) {
    const { request, promptIds, completionIds } = getStep(db, id) ?? assert.fail(id);
    assert.deepEqual({ request, promptIds, completionIds }, expected);
  }
}

describe('what calls have in common', () => {
  it('is stored once: twenty turns take little more than what was said', (t) => {
    const db = temporaryDatabase(t);
    const said = converse(db, rollout(db), 20, 1);
    assertReads(db, said);
    const asked = said.reduce((sum, { request }) => sum + request.length, 0);
    const { request = NaN, prompt = NaN } = bytesOf(db) ?? {};
    assert.equal(prompt, 20 * 60 * 4, 'each prompt is its own question');
    assert.ok(request < asked / 10, `${request} bytes for ${asked}`);
  });

  it('is read whole by every reader, also from another connection', (t) => {
    const db = temporaryDatabase(t);
    const said = converse(db, rollout(db), 40, 1);
    using reader = openDatabase(db.dataDir, { readonly: true });
    assertReads(reader, said);
    const prompts = said.map(({ promptIds }) => [...promptIds]);
    assert.deepEqual([...exportSteps(reader)].map((step) => step.promptIds), prompts);
    assert.deepEqual([...exportSteps(reader)].map((step) => step.request), said.map(({ request }) => request));
    assert.deepEqual(listCandidateSteps(reader, { modes: ['train'], limit: 100 }).map((step) => [...step.promptIds ?? []]).toReversed(), prompts);
    assert.deepEqual(listSteps(reader, { order: 'oldest', limit: 50 }).items.map((step) => step.promptTokens), prompts.map(({ length }) => length));
    assert.ok(!Object.keys([...exportSteps(reader)][0] ?? {}).some((key) => ['requestBase', 'promptBase', 'sharedTokens'].includes(key)), 'how it is stored is not exported');
  });

  it('is what members of a group asked', (t) => {
    const db = temporaryDatabase(t);
    const said = Array.from({ length: 16 }, () => converse(db, rollout(db), 1, 7)).flat();
    assertReads(db, said);
    assert.equal(bytesOf(db)?.prompt, 60 * 4);
  });

  it('is the prompt of a call\'s choices', (t) => {
    const db = temporaryDatabase(t);
    const first = openStep(rollout(db), { request: JSON.stringify(text(200, 1).words) });
    const others = [1, 2].map((choice) => ({ ...first, id: `${first.id}${choice}`, choice, request: null }));
    openSteps(db, [first, ...others]);
    const promptIds = Int32Array.from(text(100, 1).ids);
    completeSteps(db, [first, ...others].map(({ id }, choice) => completeStep(id, { promptIds, completionIds: Int32Array.of(choice, 2) })));
    for (const { id } of [first, ...others]) assert.deepEqual([getStep(db, id)?.promptIds, getStep(db, id)?.request], [promptIds, first.request]);
    assert.equal(bytesOf(db)?.prompt, 400);
  });

  it('is not taken from what was rolled back', (t) => {
    const db = temporaryDatabase(t);
    const started = rollout(db);
    const request = JSON.stringify(text(200, 1).words);
    assert.throws(() => db.write(() => {
      openSteps(db, [openStep(started, { id: 'gone', request })]);
      throw new Error('the disk is full');
    }));
    openSteps(db, [openStep(started, { id: 'kept', request })]);
    assert.equal(getStep(db, 'kept')?.request, request);
    openSteps(db, [openStep(started, { id: 'next', request })]);
    assert.throws(() => db.write(() => {
      completeSteps(db, [completeStep('kept', { promptIds: Int32Array.of(1, 2, 3) })]);
      throw new Error('the disk is full');
    }));
    completeSteps(db, [completeStep('next', { promptIds: Int32Array.of(1, 2, 3) })]);
    completeSteps(db, [completeStep('kept', { promptIds: Int32Array.of(7) })]);
    assert.deepEqual([getStep(db, 'next')?.promptIds, getStep(db, 'kept')?.promptIds], [Int32Array.of(1, 2, 3), Int32Array.of(7)]);
  });

  it('needs nothing of what its caller does with an array afterwards', (t) => {
    const db = temporaryDatabase(t);
    const started = rollout(db);
    const request = Buffer.from(JSON.stringify(text(200, 1).words)), promptIds = Int32Array.of(5, 6, 7);
    const [first, second] = [openStep(started, { request }), openStep(started, { request: request.toString() })];
    openSteps(db, [first]);
    completeSteps(db, [completeStep(first.id, { promptIds })]);
    request.fill(0);
    promptIds.fill(0);
    openSteps(db, [second]);
    completeSteps(db, [completeStep(second.id, { promptIds: Int32Array.of(5, 6, 7, 8) })]);
    assert.deepEqual([getStep(db, second.id)?.request, getStep(db, second.id)?.promptIds], [second.request, Int32Array.of(5, 6, 7, 8)]);
  });

  it('may be anything', (t: TestContext) => {
    const db = temporaryDatabase(t);
    const attempts = [rollout(db), rollout(db)];
    const pieces = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 12 });
    const call = fc.record({ attempt: fc.integer({ min: 0, max: 1 }), pieces, answer: pieces, completes: fc.boolean() });
    fc.assert(fc.property(fc.array(call, { minLength: 2, maxLength: 40 }), (calls) => {
      const said = calls.map(({ attempt, pieces: asked, answer, completes }): Said => {
        const step = openStep(attempts[attempt] ?? assert.fail(), { request: asked.map((piece) => text(30, piece).words).join(), parentStepId: null });
        openSteps(db, [step]);
        const idsOf = (of: readonly number[]) => Int32Array.from(of.flatMap((piece) => text(3, piece).ids));
        const ids = completes ? { promptIds: idsOf(asked), completionIds: idsOf(answer) } : null;
        if (ids !== null) completeSteps(db, [completeStep(step.id, { ...ids, logprobs: new Float32Array(ids.completionIds.length) })]);
        return { id: step.id, request: String(step.request), promptIds: ids?.promptIds ?? null, completionIds: ids?.completionIds ?? null } as Said; // nulls where it did not complete
      });
      assertReads(db, said);
    }), { numRuns: 50 });
  });
});
