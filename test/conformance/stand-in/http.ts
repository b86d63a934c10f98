/** An HTTP server of JSON routes for stand-ins of policy servers. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';

export interface StandIn extends AsyncDisposable {
  readonly url: string;
  /** Generations that run. */
  readonly running: () => Promise<number>;
}

export type Route = (request: IncomingMessage, response: ServerResponse) => Promise<unknown>;

/** @param routes by path; what one resolves to is its JSON answer, if it did not answer itself */
export async function listen(routes: Readonly<Record<string, Route>>, open: () => number, close: () => Promise<void>): Promise<StandIn> {
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const route = routes[request.url ?? ''];
    if (route === undefined) {
      response.writeHead(404, { 'content-type': 'application/json' }).end(JSON.stringify({ error: { code: 404, message: 'File Not Found', type: 'not_found_error' } }));
      return;
    }
    const body = await route(request, response);
    if (!response.headersSent) response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  const server = createServer((request, response) => { answer(request, response).catch(() => { response.destroy(); }); });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const { port } = server.address() as AddressInfo; // of a TCP server
  return {
    url: `http://127.0.0.1:${port}`,
    running: () => Promise.resolve(open()),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => { server.close(resolve); });
      await close();
    },
  };
}

export async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  return await json(request) as Record<string, unknown>;
}
