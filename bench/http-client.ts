// The smallest HTTP/1.1 client that is honest: keep-alive, one request at a time on a connection, whole answers read.

import { connect, type Socket } from 'node:net';

/** Status 0 = no answer: the connection failed, or nothing came in time. */
export type Answered = (status: number, body: string) => void;

const TIMEOUT_MS = 10_000;
const HEAD_END = Buffer.from('\r\n\r\n');
const LAST_CHUNK = Buffer.from('0\r\n\r\n');

/** Bytes of a POST with a JSON body. */
export function requestBytes(
  url: URL,
  headers: Readonly<Record<string, string>>,
  body: string,
): Buffer {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(
    `POST ${url.pathname} HTTP/1.1\r\nhost: ${url.host}\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n${lines.join('')}\r\n${body}`,
  );
}

/** One connection; connects at its first request and again after a failure. */
export class Connection {
  readonly #url: URL;
  #socket: Socket | undefined;
  #answered: Answered | undefined;
  #deadline = 0;
  #received: Buffer[] = [];
  #bytes = 0;
  /** Of the answer that is being read; 0 until its head is complete, -1 when its body comes in chunks. */
  #expected = 0;

  constructor(url: URL) {
    this.#url = url;
  }

  /** MUST NOT be called before the last answer came. */
  send(request: Buffer, answered: Answered): void {
    this.#answered = answered;
    this.#deadline = performance.now() + TIMEOUT_MS;
    this.#socket ??= this.#connect();
    this.#socket.write(request);
  }

  /** Gives an answer that is overdue up. */
  sweep(now: number): void {
    if (this.#answered !== undefined && now > this.#deadline) this.close();
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
    this.#settle(0, '');
  }

  #connect(): Socket {
    const socket = connect({ host: this.#url.hostname, port: Number(this.#url.port) });
    socket.setNoDelay(true);
    const lost = () => {
      if (socket === this.#socket) this.close();
    };
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('error', lost);
    socket.on('close', lost);
    return socket;
  }

  #take(chunk: Buffer): void {
    this.#received.push(chunk);
    this.#bytes += chunk.length;
    if (this.#expected > this.#bytes) return;
    const all = this.#received.length === 1 ? chunk : Buffer.concat(this.#received);
    const headEnd = all.indexOf(HEAD_END);
    if (headEnd < 0) return;
    if (this.#expected === 0) {
      const length = /content-length: *(\d+)/i.exec(all.toString('latin1', 0, headEnd))?.[1];
      this.#expected = length === undefined ? -1 : headEnd + HEAD_END.length + Number(length);
    }
    const complete =
      this.#expected < 0
        ? all.subarray(-LAST_CHUNK.length).equals(LAST_CHUNK)
        : this.#bytes >= this.#expected;
    if (!complete) return;
    const status = Number(all.toString('latin1', 9, 12));
    this.#settle(status, all.toString('utf8', headEnd + HEAD_END.length));
  }

  #settle(status: number, body: string): void {
    const answered = this.#answered;
    this.#answered = undefined;
    this.#received = [];
    this.#bytes = 0;
    this.#expected = 0;
    answered?.(status, body);
  }
}
