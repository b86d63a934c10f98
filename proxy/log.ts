/** Lines for the person who runs the server: to stderr, so that stdout stays the command's own. */

export interface Log {
  error(line: string): void;
  info(line: string): void;
  debug(line: string): void;
}

const levels = { silent: 0, info: 1, debug: 2 } as const;

export function createLog(level: keyof typeof levels, write: (line: string) => void = (line) => { process.stderr.write(`${line}\n`); }): Log {
  const from = (needed: number, prefix: string) => (line: string) => { if (levels[level] >= needed) write(prefix + line); };
  return { error: from(levels.info, 'error: '), info: from(levels.info, ''), debug: from(levels.debug, 'debug: ') };
}
