/** Runs the official Python client, where there is one: FULGURITE_PYTHON names a Python with `openai`, else python3 is tried. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Subject } from './subject.ts';

const python = process.env['FULGURITE_PYTHON'] ?? 'python3';
const run = promisify(execFile);

/** For `test(name, { skip: skipWithoutPython }, …)`. */
export const skipWithoutPython: string | false = await run(python, ['-c', 'import openai; openai.OpenAI(api_key="x").chat.completions.stream'])
  .then(() => false as const, () => `${python} has no openai package of 1.92 or later: set FULGURITE_PYTHON`);

/** @throws with the script's traceback */
export async function runPythonClient({ url, model, capabilities }: Subject): Promise<void> {
  await run(python, [join(import.meta.dirname, 'openai_client.py'), url, model, ...(capabilities.tools ? ['tools'] : [])]);
}
