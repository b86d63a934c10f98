/** Arithmetic word problems, drawn from a seed. */

export interface Problem {
  readonly question: string;
  /** The one-line expression that solves it. */
  readonly expression: string;
  readonly answer: number;
}

/** mulberry32: a small seeded generator of numbers in [0, 1). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function pick<T>(random: () => number, items: readonly T[]): T {
  const item = items[Math.floor(random() * items.length)];
  if (item === undefined) throw new Error('nothing to pick from');
  return item;
}

const between = (random: () => number, low: number, high: number): number => low + Math.floor(random() * (high - low + 1));

const names = ['Ana', 'Ben', 'Chen', 'Dora', 'Emil', 'Fatima', 'Goran', 'Hana', 'Ivan', 'Jun', 'Kofi', 'Lena'];
const things = ['apples', 'books', 'coins', 'cards', 'eggs', 'pens', 'seeds', 'shells', 'stamps', 'stones'];
const boxes = ['bags', 'boxes', 'crates', 'jars', 'shelves'];

type Kind = 'sum' | 'difference' | 'product' | 'product-sum' | 'sum-difference';

const wordings: Readonly<Record<Kind, readonly string[]>> = {
  sum: [
    '{name} has {a} {things} and buys {b} more. How many {things} does {name} have?',
    'There are {a} {things} on the table and {b} in the box. How many {things} are there in all?',
    '{name} finds {a} {things} and {other} finds {b}. How many {things} do they find together?',
  ],
  difference: [
    '{name} has {a} {things} and gives {b} away. How many {things} are left?',
    'There were {a} {things}. {name} sold {b} of them. How many {things} remain?',
    '{name} has {a} {things} and {other} has {b}. How many more {things} does {name} have?',
  ],
  product: [
    '{name} fills {a} {boxes} with {b} {things} each. How many {things} is that?',
    'There are {a} {boxes}, and every one holds {b} {things}. How many {things} are there?',
    'Each of {a} children gets {b} {things}. How many {things} are needed?',
  ],
  'product-sum': [
    '{name} has {a} {boxes} with {b} {things} each and {c} loose {things}. How many {things} does {name} have?',
    '{name} buys {a} {boxes} of {b} {things} and gets {c} more for free. How many {things} is that?',
  ],
  'sum-difference': [
    '{name} has {a} {things}, buys {b} and then loses {c}. How many {things} are left?',
    'There were {a} {things}. {name} brought {b} and {other} took {c}. How many {things} are there now?',
  ],
};

interface Numbers { readonly a: number; readonly b: number; readonly c: number; readonly expression: string; readonly answer: number }

const numbers: Readonly<Record<Kind, (random: () => number, c: number) => Numbers>> = {
  sum(random, c) {
    const a = between(random, 12, 480), b = between(random, 12, 480);
    return { a, b, c, expression: `${a}+${b}`, answer: a + b };
  },
  difference(random, c) {
    const b = between(random, 12, 240), a = b + between(random, 12, 240);
    return { a, b, c, expression: `${a}-${b}`, answer: a - b };
  },
  product(random, c) {
    const a = between(random, 6, 60), b = between(random, 6, 90);
    return { a, b, c, expression: `${a}*${b}`, answer: a * b };
  },
  'product-sum'(random, c) {
    const a = between(random, 4, 40), b = between(random, 6, 60);
    return { a, b, c, expression: `${a}*${b}+${c}`, answer: a * b + c };
  },
  'sum-difference'(random, c) {
    const a = between(random, 70, 600), b = between(random, 12, 300);
    return { a, b, c, expression: `${a}+${b}-${c}`, answer: a + b - c };
  },
};

const kinds: readonly Kind[] = ['sum', 'difference', 'product', 'product-sum', 'sum-difference'];

/** One problem. The same stream of random numbers gives the same problems. */
export function drawProblem(random: () => number): Problem {
  const kind = pick(random, kinds);
  const { a, b, c, expression, answer } = numbers[kind](random, between(random, 3, 60));
  const name = pick(random, names);
  const other = pick(random, names.filter((candidate) => candidate !== name));
  const words: Record<string, string> = {
    a: String(a), b: String(b), c: String(c), name, other, things: pick(random, things), boxes: pick(random, boxes),
  };
  const question = pick(random, wordings[kind]).replace(/\{(\w+)\}/g, (_, key: string) => words[key] ?? '');
  return { question, expression, answer };
}

/** Different problems, none of which asks a question in `taken` (which it extends). */
export function drawProblems(count: number, seed: number, taken: Set<string>): Problem[] {
  const random = seededRandom(seed);
  const problems: Problem[] = [];
  while (problems.length < count) {
    const problem = drawProblem(random);
    if (taken.has(problem.question)) continue;
    taken.add(problem.question);
    problems.push(problem);
  }
  return problems;
}
