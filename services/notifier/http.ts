/** The listener for callbacks, with limits: the whole internet may reach it. Bodies stay the bytes that were signed. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

export interface Callback {
  /** As it came: nothing decoded. */
  readonly path: string;
  readonly header: (name: string) => string;
  readonly body: Buffer;
}

export interface Answer {
  readonly status: number;
  readonly body: string;
}

const BODY_BYTES_MAX = 256 * 1024;
const REQUEST_MS_MAX = 5_000;
const IDLE_MS_MAX = 30_000;
const CONNECTIONS_MAX = 256;

/** Serves until closed. */
export async function listen(
  { host, port }: { readonly host: string; readonly port: number },
  answer: (callback: Callback) => Promise<Answer>,
): Promise<{ readonly port: number; readonly close: () => Promise<void> }> {
  const server = createServer((request, response) => {
    void take(request, answer).then(
      (answered) => send(response, answered),
      () => response.destroy(), // the client went away or was too slow
    );
  });
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

async function take(
  request: IncomingMessage,
  answer: (callback: Callback) => Promise<Answer>,
): Promise<Answer> {
  if (request.method !== 'POST') return { status: 405, body: 'POST only\n' };
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) return { status: 413, body: 'too long\n' };
    chunks.push(chunk);
  }
  return answer({
    path: request.url ?? '',
    // A header that comes twice is none: nobody who signs sends two.
    header: (name) => only(request.headersDistinct[name]),
    body: Buffer.concat(chunks),
  });
}

const only = (values: readonly string[] | undefined): string =>
  values?.length === 1 ? (values[0] ?? '') : '';

function send(response: ServerResponse, { status, body }: Answer): void {
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    ...(status === 405 ? { allow: 'POST' } : {}),
    ...(status === 413 ? { connection: 'close' } : {}),
  });
  response.end(body);
}
