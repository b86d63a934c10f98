/**
 * A thread that has nothing to do spins this long, in microseconds, and sleeps then. Within a step the next product follows at once, and waking a thread takes as long as a
 * small product; between steps, cores are shared with the proxy, the trainer and the agents.
 */
export const SPIN_US = '30';
