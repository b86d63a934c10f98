/** Starts llama.cpp's server, to compare with. */
import { freePort, startProgram, type Server } from '../server.ts';

/** One slot per client. */
export async function startLlamaCpp(program: string, model: string, { threads, slots, context }: { readonly threads: number; readonly slots: number; readonly context: number }): Promise<Server> {
  const port = await freePort();
  return startProgram(program, ['-m', model, '--host', '127.0.0.1', '--port', String(port), '-t', String(threads), '-tb', String(threads), '-np', String(slots), '-c', String(slots * context), '--no-webui'], { port, readyPath: '/health' });
}
