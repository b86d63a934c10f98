/**
 * The reward: 1 when the agent's last line is the right number, else 0.
 * stdin: {"task": …, "stdout": …}; stdout: the reward.
 */
import { text } from 'node:stream/consumers';

const { task, stdout } = JSON.parse(await text(process.stdin));
const said = stdout.trim().split('\n').at(-1)?.trim();
console.log(said === String(task.answer) ? 1 : 0);
