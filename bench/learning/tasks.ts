/** reasoning-gym in a Python process of its own: it makes the tasks and scores the answers. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Plan } from './plan.ts';

export interface Task {
  readonly index: number;
  readonly kind: string;
  readonly messages: readonly { readonly role: string; readonly content: string }[];
}

export interface TaskSource extends AsyncDisposable {
  readonly tasks: readonly Task[];
  /** 1 if reasoning-gym takes a completion for right, else 0. */
  score(task: Task, text: string): Promise<number>;
}

/** @throws Error when the process ends early: its own message is on stderr */
export async function openTasks(python: string, { kinds, seed, rounds, tasksPerRound }: Plan): Promise<TaskSource> {
  const count = rounds * tasksPerRound;
  const child = spawn(python, [join(import.meta.dirname, 'tasks.py'), JSON.stringify({ kinds, seed, count })], { stdio: ['pipe', 'pipe', 'inherit'] });
  const closed = new Promise<void>((resolve) => child.once('close', () => { resolve(); }));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<unknown> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`${python} made no tasks: is reasoning-gym installed?`);
    return JSON.parse(value);
  };
  const tasks: Task[] = [];
  while (tasks.length < count) tasks.push({ index: tasks.length, ...await next() as Omit<Task, 'index'> }); // what tasks.py prints
  let asked: Promise<unknown> = Promise.resolve();
  return {
    tasks,
    score(task, text) {
      const earlier = asked;
      const answer = (async () => {
        await earlier; // answers come in the order of the questions
        return await next() as number; // tasks.py prints numbers now
      })();
      asked = answer;
      child.stdin.write(`${JSON.stringify({ task: task.index, text })}\n`);
      return answer;
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await closed;
    },
  };
}
