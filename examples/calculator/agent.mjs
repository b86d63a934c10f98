/**
 * An ordinary agent: answers an arithmetic word problem with the help of a calculator tool.
 *
 * It knows the official `openai` package and its environment, nothing else:
 *   OPENAI_BASE_URL, OPENAI_API_KEY   where the model is (read by the package itself)
 *   OPENAI_MODEL                      which model to ask for
 *
 *   echo '{"question": "Ben has 12 pens and buys 30 more. How many pens does Ben have?"}' | node agent.mjs
 */
import { text } from 'node:stream/consumers';
import OpenAI from 'openai';
import { calculate } from './calculate.mjs';

const MAX_CALLS = 4;

const tools = [{
  type: 'function',
  function: {
    name: 'calculator',
    description: 'Evaluates an arithmetic expression of numbers, + - * / and parentheses.',
    parameters: { type: 'object', properties: { expression: { type: 'string' } }, required: ['expression'] },
  },
}];

function runTool(call) {
  try {
    return String(calculate(JSON.parse(call.function.arguments).expression));
  } catch (error) {
    return `error: ${error.message}`;
  }
}

async function answer(client, question) {
  const messages = [
    { role: 'system', content: 'Solve the problem with the calculator. Then answer with the number alone.' },
    { role: 'user', content: question },
  ];
  for (let call = 0; call < MAX_CALLS; call++) {
    const completion = await client.chat.completions.create({
      model: process.env.OPENAI_MODEL ?? 'gpt-4o-mini',
      messages,
      tools,
      max_tokens: 64,
    });
    const { message } = completion.choices[0];
    messages.push(message);
    if (!message.tool_calls?.length) return message.content;
    for (const toolCall of message.tool_calls) {
      messages.push({ role: 'tool', tool_call_id: toolCall.id, content: runTool(toolCall) });
    }
  }
  return 'no answer';
}

const { question } = JSON.parse(await text(process.stdin));
console.log(await answer(new OpenAI(), question));
