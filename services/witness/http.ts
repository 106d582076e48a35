/** POST /add-checkpoint over HTTP, with limits: nobody who can reach it is trusted. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly type?: string;
  readonly body: string;
}

export interface Listening {
  readonly port: number;
  readonly close: () => Promise<void>;
}

/** 63 lines of a proof, and a checkpoint with 16 signatures of the largest kind (signed-note: nearly 5 KB each). */
const BODY_BYTES_MAX = 128 * 1024;
const REQUEST_MS_MAX = 10_000;
const IDLE_MS_MAX = 120_000;
const CONNECTIONS_MAX = 256;

const PATH = '/add-checkpoint';
const TEXT = 'text/plain; charset=utf-8';

/** Serves until closed. @param answer gives the answer to a body */
export async function listen(
  { host, port }: { readonly host: string; readonly port: number },
  answer: (body: Buffer) => Answer,
): Promise<Listening> {
  const server = createServer(
    { connectionsCheckingInterval: REQUEST_MS_MAX },
    (request, response) => {
      void take(request, answer).then(
        (answered) => send(response, answered),
        () => response.destroy(), // the client went away or was too slow
      );
    },
  );
  server.requestTimeout = REQUEST_MS_MAX;
  server.headersTimeout = REQUEST_MS_MAX;
  server.keepAliveTimeout = IDLE_MS_MAX;
  server.maxConnections = CONNECTIONS_MAX;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
      }),
  };
}

async function take(request: IncomingMessage, answer: (body: Buffer) => Answer): Promise<Answer> {
  if (request.url?.replace(/\?.*/, '') !== PATH) return { status: 404, body: 'not found\n' };
  if (request.method !== 'POST') return { status: 405, body: 'POST only\n' };
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) return { status: 413, body: 'too long\n' };
    chunks.push(chunk);
  }
  return answer(Buffer.concat(chunks));
}

function send(response: ServerResponse, { status, type = TEXT, body }: Answer): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    ...(status === 405 ? { allow: 'POST' } : {}),
    ...(status === 413 ? { connection: 'close' } : {}),
  });
  response.end(body);
}
