/**
 * Conversations for supervised learning: how one uses the calculator, shown by a teacher who often gets it wrong. What the policy
 * learns from it is the language of tool calls and a habit of mistakes; which habits pay is left to the reward.
 */
import type { ChatMessage } from '../../model/chat/template.ts';
import { drawProblem, pick, type Problem } from './problems.ts';

export const system = 'Solve the problem with the calculator. Then answer with the number alone.';

export const tools = [{
  type: 'function',
  function: { name: 'calculator', parameters: { type: 'object', properties: { expression: { type: 'string' } }, required: ['expression'] } },
}];

const digitsOf = (random: () => number): string => String(10 + Math.floor(random() * 990));

/** Another operator at one place. */
function wrongOperator(expression: string, random: () => number): string {
  const places = [...expression.matchAll(/[-+*]/g)];
  const place = pick(random, places);
  const other = pick(random, ['+', '-', '*'].filter((operator) => operator !== place[0]));
  return expression.slice(0, place.index) + other + expression.slice(place.index + 1);
}

/** One operand left out, or the first two in the wrong order. */
function wrongOperands(expression: string, random: () => number): string {
  const operands = expression.split(/[-+*]/), operators = expression.match(/[-+*]/g) ?? [];
  if (operands.length > 2 && random() < 0.6) return `${operands[0]}${operators[0]}${operands[1]}`;
  return `${operands[1]}${operators[0]}${operands[0]}${expression.slice(`${operands[0]}${operators[0]}${operands[1]}`.length)}`;
}

const evaluate = (expression: string): number => {
  // Products bind tighter; there are no parentheses here.
  return expression.replace(/(\d+)\*(\d+)/g, (_, a: string, b: string) => String(Number(a) * Number(b)))
    .match(/[-+]?\d+/g)?.reduce((sum, term) => sum + Number(term), 0) ?? 0;
};

export interface Habits {
  /** Chances of the teacher's mistakes; what remains is right. */
  readonly noTool: number;
  readonly wrongOperator: number;
  readonly wrongOperands: number;
  readonly brokenCall: number;
  /** Of misreading the tool's result in the final answer. */
  readonly misreport: number;
}

export const teacher: Habits = { noTool: 0.2, wrongOperator: 0.25, wrongOperands: 0.14, brokenCall: 0.08, misreport: 0.1 };

/** One conversation of the teacher's. A broken call ends the conversation: it is an answer in words. */
export function demonstrate(problem: Problem, random: () => number, habits: Habits): ChatMessage[] {
  const asked: ChatMessage[] = [{ role: 'system', content: system }, { role: 'user', content: problem.question }];
  let draw = random();
  const happens = (chance: number): boolean => (draw -= chance) < 0;

  if (happens(habits.noTool)) return [...asked, { role: 'assistant', content: digitsOf(random) }];
  if (happens(habits.brokenCall)) return [...asked, { role: 'assistant', content: `<tool_call>\n{"name": "calculator", "expression": "${problem.expression}"\n` }];
  const expression = happens(habits.wrongOperator) ? wrongOperator(problem.expression, random)
    : happens(habits.wrongOperands) ? wrongOperands(problem.expression, random)
    : problem.expression;
  const result = String(evaluate(expression));
  return [
    ...asked,
    { role: 'assistant', content: null, tool_calls: [{ type: 'function', id: 'call_0', function: { name: 'calculator', arguments: { expression } } }] },
    { role: 'tool', tool_call_id: 'call_0', content: result },
    { role: 'assistant', content: random() < habits.misreport ? digitsOf(random) : result },
  ];
}

/** Demonstrations of problems that are in neither task file. */
export function* demonstrations(random: () => number, habits: Habits, taken: ReadonlySet<string>): Generator<ChatMessage[]> {
  for (;;) {
    const problem = drawProblem(random);
    if (!taken.has(problem.question)) yield demonstrate(problem, random, habits);
  }
}
