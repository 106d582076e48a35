// A way between one process and the broker that a test can cut: everything (both directions fall silent while the
// sockets stay open, as when packets are dropped), or only what the control feed brings to that process.

import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

export type CutMode = 'open' | 'no-control' | 'black-hole';

export interface Cut {
  readonly url: string;
  readonly set: (mode: CutMode) => void;
  readonly close: () => Promise<void>;
}

/** Listens in front of a nats-server. */
export async function startCut(natsUrl: string): Promise<Cut> {
  const { hostname, port } = new URL(natsUrl);
  const sockets = new Set<Socket>();
  let mode: CutMode = 'open';
  const server = createServer((client) => {
    const broker = connect(Number(port), hostname);
    const hears = messagesOf((message, isControl) => {
      if (mode === 'open' || (mode === 'no-control' && !isControl)) client.write(message);
    });
    client.on('data', (bytes) => mode !== 'black-hole' && broker.write(bytes));
    broker.on('data', hears);
    for (const [one, other] of [
      [client, broker],
      [broker, client],
    ] as const) {
      sockets.add(one);
      one.on('error', () => undefined);
      one.on('close', () => other.destroy());
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return {
    url: `nats://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`,
    set: (next) => {
      // What was lost in the dark leaves streams in pieces: a healed network resets them.
      if (mode === 'black-hole' && next !== mode) for (const socket of sockets) socket.destroy();
      mode = next;
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

const CRLF = Buffer.from('\r\n');

/** Cuts what a server sends into messages of the protocol, and tells which bring entries of the control state. */
function messagesOf(take: (message: Buffer, isControl: boolean) => void) {
  let rest = Buffer.alloc(0);
  return (bytes: Buffer): void => {
    rest = Buffer.concat([rest, bytes]);
    for (let end = rest.indexOf(CRLF); end >= 0; end = rest.indexOf(CRLF)) {
      const line = rest.subarray(0, end).toString('latin1');
      // MSG <subject> <sid> [reply] <bytes>, or HMSG with the bytes of the headers before those of all.
      const [verb = '', subject = '', ...words] = line.split(' ');
      const body = /^H?MSG$/i.test(verb) ? Number(words.at(-1)) + CRLF.length : 0;
      const length = end + CRLF.length + body;
      if (rest.length < length) return;
      take(rest.subarray(0, length), subject.startsWith('$KV.control.'));
      rest = rest.subarray(length);
    }
  };
}
