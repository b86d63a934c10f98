/** Rollouts, steps, rewards and the export, over real HTTP. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { events, startHarness, type Harness } from '../harness.ts';

interface Created { id: string; api_key: string; base_url: string; attempt_id: string }
interface Reward { id: number; rollout_id: string; step_id: string | null; name: string; kind: string; value: number; source: string; superseded_id: number | null }
interface Listed<T> { object: string; data: T[]; next_cursor: string | null }

describe('admin', () => {
  let h: Harness;
  before(async () => { h = await startHarness(); });
  after(() => h[Symbol.asyncDispose]());

  const json = async <T>(response: Response | Promise<Response>): Promise<T> => await (await response).json() as T; // documented answers
  const create = (body: object = {}) => json<Created>(h.post('/admin/rollouts', body));
  const errorOf = async (response: Response) => (await response.json() as { error: { code: string; param: string | null; message: string } }).error;

  test('a rollout with its calls, attempts and rewards', async () => {
    const created = await create({ task_id: 'task-1', mode: 'val', input: { question: '1+1' }, metadata: { seed: 3 } });
    assert.match(created.api_key, /^sk-fg-/);
    await h.chat('x', {}, `${created.base_url}/chat/completions`);
    await h.post('/v1/rewards', { value: 0.5, rollout: created.id, source: 'command' });
    await json(h.post(`/admin/rollouts/${created.id}/end`, { state: 'failed', detail: 'exit code 1' }));
    const rollout = await json<Record<string, unknown> & { rewards: Reward[]; steps: { id: string; rollout_id: string }[]; attempts: { state: string; detail: string }[] }>(
      h.get(`/admin/rollouts/${created.id}`));
    assert.equal(rollout['task_id'], 'task-1');
    assert.equal(rollout['mode'], 'val');
    assert.equal(rollout['state'], 'failed');
    assert.deepEqual(rollout['input'], { question: '1+1' });
    assert.deepEqual(rollout['metadata'], { seed: 3 });
    assert.deepEqual(rollout.attempts.map(({ state, detail }) => [state, detail]), [['failed', 'exit code 1']]);
    assert.deepEqual(rollout.rewards.map(({ name, kind, value, source }) => [name, kind, value, source]), [['reward', 'outcome', 0.5, 'command']]);
    assert.deepEqual(rollout.steps.map((step) => step.rollout_id), [created.id]);
    const again = await h.post(`/admin/rollouts/${created.id}/end`, { state: 'succeeded' });
    assert.equal(again.status, 409);
    assert.equal((await errorOf(again)).code, 'illegal_transition');
  });

  test('what a rollout is made of is checked', async () => {
    for (const [body, param] of [[{ mode: 'fun' }, 'mode'], [{ task_id: 3 }, 'task_id'], [{ colour: 1 }, 'colour'], [{ version: -1 }, 'version']] as const) {
      const response = await h.post('/admin/rollouts', body);
      assert.equal(response.status, 400);
      assert.equal((await errorOf(response)).param, param);
    }
    assert.equal((await h.post('/admin/rollouts', { version: 99 })).status, 404);
  });

  test('lists go on where the cursor says', async () => {
    const ids = [];
    for (let i = 0; i < 5; i++) ids.push((await create({ task_id: 'paged' })).id);
    const seen: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const page: Listed<{ id: string }> = await json(h.get(`/admin/rollouts?task_id=paged&order=oldest&limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`));
      assert.equal(page.object, 'list');
      seen.push(...page.data.map((row) => row.id));
      cursor = page.next_cursor;
    }
    assert.deepEqual(seen, ids);
  });

  test('a step shows ids, log-probs and bodies; a stream also the message it makes', async () => {
    await events(await h.chat('streamed', { stream: true, temperature: 0.5, stop: ['.'] }));
    const id = (await h.steps()).at(-1)?.id ?? '';
    const step = await json<{ prompt_ids: number[]; completion_ids: number[]; logprobs: number[]; sampling: Record<string, unknown>; request: object; response: { messages: object[] } }>(
      h.get(`/admin/steps/${id}`));
    assert.equal(step.completion_ids.length, step.logprobs.length);
    assert.ok(step.prompt_ids.length > 0);
    assert.equal(step.sampling['temperature'], 0.5);
    assert.equal(step.sampling['top_p'], 1);
    assert.deepEqual(step.response.messages, [{ role: 'assistant', content: 'echo: streamed' }]);
    const listed = await json<Listed<{ id: string; completion_tokens: number }>>(h.get('/admin/steps?limit=1&state=complete&quarantined=false'));
    assert.deepEqual(listed.data.map((row) => [row.id, row.completion_tokens]), [[id, step.completion_ids.length]]);
  });

  describe('rewards', () => {
    test('by step, by response id, by rollout, by the rollout\'s URL', async () => {
      const rollout = await create();
      const answer = await json<{ id: string }>(h.chat('x', { n: 2 }, `${rollout.base_url}/chat/completions`));
      const [zero, one] = (await h.steps()).slice(-2);
      const give = (body: object, path = '/v1/rewards') => json<Reward>(h.post(path, body));
      const byStep = await give({ value: 1, step: one?.id, name: 'a' });
      assert.deepEqual([byStep.step_id, byStep.rollout_id, byStep.kind, byStep.source], [one?.id, rollout.id, 'intermediate', 'agent']);
      assert.equal((await give({ value: 1, response_id: answer.id })).step_id, zero?.id);
      assert.equal((await give({ value: 1, response_id: answer.id, choice: 1 })).step_id, one?.id);
      assert.deepEqual([(await give({ value: 1, rollout: rollout.id })).kind], ['outcome']);
      const byUrl = await give({ value: -2.5 }, `${rollout.base_url}/rewards`);
      assert.deepEqual([byUrl.rollout_id, byUrl.step_id, byUrl.value], [rollout.id, null, -2.5]);
    });

    test('the last under a name wins; the earlier one is kept; late ones are taken', async () => {
      const rollout = await create();
      await h.post(`/admin/rollouts/${rollout.id}/end`, {});
      const first = await json<Reward>(h.post('/v1/rewards', { value: 0, rollout: rollout.id }));
      const second = await json<Reward>(h.post('/v1/rewards', { value: 1, rollout: rollout.id }));
      assert.equal(second.superseded_id, first.id);
      const { rewards } = await json<{ rewards: Reward[] }>(h.get(`/admin/rollouts/${rollout.id}`));
      assert.deepEqual(rewards.map((reward) => reward.value), [1]);
    });

    for (const [name, body, status, code] of [
      ['no value', { rollout: 'ro_x' }, 400, 'invalid_value'],
      ['a value that is no number', { value: 'good', rollout: 'ro_x' }, 400, 'invalid_value'],
      ['no target', { value: 1 }, 400, 'missing_required_parameter'],
      ['two targets', { value: 1, rollout: 'a', step: 'b' }, 400, 'invalid_value'],
      ['an unknown field', { value: 1, rollout: 'a', colour: 'red' }, 400, 'invalid_value'],
      ['a step that does not exist', { value: 1, step: 'st_none' }, 404, 'unknown_step'],
      ['a response that was never given', { value: 1, response_id: 'chatcmpl-none' }, 404, 'unknown_response'],
      ['a rollout that does not exist', { value: 1, rollout: 'ro_none' }, 404, 'unknown_rollout'],
    ] as const) {
      test(`${name}: ${status} ${code}`, async () => {
        const response = await h.post('/v1/rewards', body);
        assert.equal(response.status, status);
        assert.equal((await errorOf(response)).code, code);
      });
    }
  });

  test('the export is one JSON object a line, filtered', async () => {
    const rollout = await create({ task_id: 'exported', mode: 'train' });
    for (let i = 0; i < 3; i++) await h.chat(`e${i}`, {}, `${rollout.base_url}/chat/completions`);
    await h.post('/v1/rewards', { value: 1, rollout: rollout.id });
    const response = await h.get(`/admin/export?rollout=${rollout.id}`);
    assert.match(response.headers.get('content-type') ?? '', /ndjson/);
    const lines = (await response.text()).trimEnd().split('\n').map((line) => JSON.parse(line) as { taskId: string; logprobs: number[]; completionIds: number[]; rewards: { value: number }[] });
    assert.equal(lines.length, 3);
    assert.ok(lines.every((line) => line.taskId === 'exported' && line.logprobs.length === line.completionIds.length && line.rewards[0]?.value === 1));
    assert.equal((await h.get('/admin/export?mode=fun')).status, 400);
  });

  test('a reader of the export that leaves disturbs nobody', async () => {
    const controller = new AbortController();
    const response = await fetch(`${h.url}/admin/export`, { signal: controller.signal });
    await response.body?.getReader().read();
    controller.abort();
    assert.equal((await h.chat('still here')).status, 200);
  });
});
