import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseEnvelope } from '../../../proxy/capture/call.ts';

const sampling = (body: object) => parseEnvelope({ model: 'm', messages: [{ role: 'user', content: 'Hi' }], ...body }).sampling;
const tool = (strict?: boolean) => ({ type: 'function', function: { name: 'f', ...(strict === undefined ? {} : { strict }) } });

test('what a grammar may have held is marked, whoever samples it', () => {
  const held = [
    { response_format: { type: 'json_object' } }, { response_format: { type: 'json_schema', json_schema: { name: 'x' } } },
    { tools: [tool()], tool_choice: 'required' }, { tools: [tool()], tool_choice: { type: 'function', function: { name: 'f' } } }, { tools: [tool(false), tool(true)] },
  ];
  const free = [{}, { response_format: { type: 'text' } }, { tools: [tool(), tool(false)] }, { tools: [tool(true)], tool_choice: 'none' }, { tools: [tool()], tool_choice: 'auto' }];
  for (const body of held) assert.equal(sampling(body).constrained, true, JSON.stringify(body));
  for (const body of free) assert.equal('constrained' in sampling(body), false, JSON.stringify(body));
});

test('a bias is marked, and nothing that is off', () => {
  assert.equal(sampling({ logit_bias: { 3: 1 } }).biased, true);
  assert.deepEqual(Object.keys(sampling({ logit_bias: {}, presence_penalty: 0 })).sort(), ['maxTokens', 'minP', 'seed', 'stop', 'temperature', 'topK', 'topP']);
});
