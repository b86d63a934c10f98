/** Waiting threads sleep: cores are shared with the proxy, the trainer and the agents. Halves the CPU time of a step. */
export const ALLOW_SPINNING = '0';
