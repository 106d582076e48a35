/** A listener for POST alone, with limits: strangers may reach it. Bodies stay the bytes that came. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

export interface Posted {
  /** As it came: nothing decoded. */
  readonly path: string;
  /** '' when there is none, and when it comes twice: nobody who signs sends two. */
  readonly header: (name: string) => string;
  readonly body: Buffer;
}

export interface PostAnswer {
  readonly status: number;
  /** Default: plain text. */
  readonly type?: string;
  readonly body: string;
}

export interface Listening {
  readonly port: number;
  readonly close: () => Promise<void>;
}

export interface PostLimits {
  readonly host: string;
  readonly port: number;
  readonly bodyBytes: number;
  /** From the first byte of a request to its last, in milliseconds. */
  readonly requestMs: number;
  /** Of a connection without a request, in milliseconds. */
  readonly idleMs: number;
}

const CONNECTIONS_MAX = 256;
const TEXT = 'text/plain; charset=utf-8';

/** Serves until closed. */
export async function listenForPosts(
  { host, port, bodyBytes, requestMs, idleMs }: PostLimits,
  answer: (posted: Posted) => PostAnswer | Promise<PostAnswer>,
): Promise<Listening> {
  const server = createServer({ connectionsCheckingInterval: requestMs }, (request, response) => {
    void take(request, bodyBytes, answer).then(
      (answered) => send(response, answered),
      () => response.destroy(), // the client went away or was too slow
    );
  });
  server.requestTimeout = requestMs;
  server.headersTimeout = requestMs;
  server.keepAliveTimeout = idleMs;
  server.maxConnections = CONNECTIONS_MAX;
  return {
    port: await listening(server, host, port),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
      }),
  };
}

/** Has it listen. @returns the port, which the system picks for 0 @throws when it cannot be had */
export async function listening(server: Server, host: string, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}

async function take(
  request: IncomingMessage,
  bodyBytes: number,
  answer: (posted: Posted) => PostAnswer | Promise<PostAnswer>,
): Promise<PostAnswer> {
  if (request.method !== 'POST') return { status: 405, body: 'POST only\n' };
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bodyBytes) return { status: 413, body: 'too long\n' };
    chunks.push(chunk);
  }
  return answer({
    path: request.url ?? '',
    header: (name) => only(request.headersDistinct[name]),
    body: Buffer.concat(chunks),
  });
}

const only = (values: readonly string[] | undefined): string =>
  values?.length === 1 ? (values[0] ?? '') : '';

function send(response: ServerResponse, { status, type = TEXT, body }: PostAnswer): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    ...(status === 405 ? { allow: 'POST' } : {}),
    ...(status === 413 ? { connection: 'close' } : {}),
  });
  response.end(body);
}
