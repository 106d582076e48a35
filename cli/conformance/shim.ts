/**
 * A client's part that the suite does not know: adds the agent's identity and capability to each request and passes
 * everything else on as it came, so that the gateway in front of the tool server checks what it always checks.
 */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Shim {
  readonly url: string;
  readonly close: () => void;
}

/** Starts it on a free port of loopback. */
export async function startShim(
  target: string,
  headers: Readonly<Record<string, string>>,
): Promise<Shim> {
  const server = createServer((incoming, outgoing) =>
    pass(incoming, outgoing, { target, headers }),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    // A listening TCP server has an address of this form.
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

function pass(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  to: { readonly target: string; readonly headers: Readonly<Record<string, string>> },
): void {
  const { method, headers } = incoming;
  const forwarded = request(to.target, { method, headers: { ...headers, ...to.headers } });
  forwarded.on('response', (response) => {
    outgoing.writeHead(response.statusCode ?? 502, response.headers);
    response.pipe(outgoing);
    response.once('error', () => outgoing.destroy());
  });
  forwarded.once('error', () => outgoing.destroy());
  outgoing.once('close', () => forwarded.destroy());
  incoming.pipe(forwarded);
}
