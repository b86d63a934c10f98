/**
 * Conversations for supervised learning: how one uses the calculator, first by a good teacher, so that the
 * policy learns to read problems and to speak in tool calls, then by one who often gets it wrong, so that it picks up bad habits. Which
 * habits pay is left to the reward.
 */
import type { ChatMessage } from '../../model/chat/template.ts';
import { calculate } from './calculate.mjs';
import { drawProblem, pick, type Problem } from './problems.ts';

export const system = 'Solve the problem with the calculator. Then answer with the number alone.';

export const tools = [{
  type: 'function',
  function: { name: 'calculator', parameters: { type: 'object', properties: { expression: { type: 'string' } }, required: ['expression'] } },
}];

/** Another operator at one place. */
function wrongOperator(expression: string, random: () => number): string {
  const places = [...expression.matchAll(/[-+*]/g)];
  const place = pick(random, places);
  const other = pick(random, ['+', '-', '*'].filter((operator) => operator !== place[0]));
  return expression.slice(0, place.index) + other + expression.slice(place.index + 1);
}

/** The last operand left out. */
const forgotten = (expression: string): string => expression.replace(/[-+*]\d+$/, '');

/** A number that the problem mentions: what one says who does not calculate. */
const mentioned = ({ expression }: Problem): string => /^\d+/.exec(expression)?.[0] ?? '';

export interface Habits {
  /** Chances of the teacher's mistakes; what remains is right. */
  readonly noTool: number;
  readonly wrongOperator: number;
  readonly forgottenOperand: number;
  readonly brokenCall: number;
  /** Of not giving the number alone in the end. */
  readonly chatter: number;
}

export const goodTeacher: Habits = { noTool: 0, wrongOperator: 0, forgottenOperand: 0, brokenCall: 0, chatter: 0 };
export const badTeacher: Habits = { noTool: 0.18, wrongOperator: 0.2, forgottenOperand: 0.12, brokenCall: 0.08, chatter: 0.1 };

/** One conversation of the teacher's. A broken call ends the conversation: it is an answer in words. */
export function demonstrate(problem: Problem, random: () => number, habits: Habits): ChatMessage[] {
  const asked: ChatMessage[] = [{ role: 'system', content: system }, { role: 'user', content: problem.question }];
  let draw = random();
  const happens = (chance: number): boolean => (draw -= chance) < 0;

  if (happens(habits.noTool)) return [...asked, { role: 'assistant', content: mentioned(problem) }];
  if (happens(habits.brokenCall)) return [...asked, { role: 'assistant', content: `<tool_call>\n{"name": "calculator", "expression": "${problem.expression}"\n` }];
  const expression = happens(habits.wrongOperator) ? wrongOperator(problem.expression, random)
    : happens(habits.forgottenOperand) ? forgotten(problem.expression)
    : problem.expression;
  const result = String(calculate(expression));
  return [
    ...asked,
    { role: 'assistant', content: null, tool_calls: [{ type: 'function', id: 'call_0', function: { name: 'calculator', arguments: { expression } } }] },
    { role: 'tool', tool_call_id: 'call_0', content: result },
    { role: 'assistant', content: random() < habits.chatter ? `The answer is ${result}.` : result },
  ];
}

/** Demonstrations of problems that are in neither task file. */
export function* demonstrations(random: () => number, habits: Habits, taken: ReadonlySet<string>): Generator<ChatMessage[]> {
  for (;;) {
    const problem = drawProblem(random);
    if (!taken.has(problem.question)) yield demonstrate(problem, random, habits);
  }
}
