import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterEach, expect, test } from 'vitest';

import { listServerTools } from '#cli/mcp-tools.ts';

let server: Server | undefined;
afterEach(() => void server?.close());

type Message = {
  readonly id?: number;
  readonly method: string;
  readonly params?: Record<string, unknown>;
};

/** A server that answers each message as the test says; gives its address. */
async function serve(
  answer: (message: Message, request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk: Buffer) => (text += chunk.toString()));
    request.on('end', () => answer(JSON.parse(text) as Message, request, response));
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`;
}

const json = (response: ServerResponse, body: unknown, headers = {}) =>
  response
    .writeHead(200, { 'content-type': 'application/json', ...headers })
    .end(JSON.stringify(body));

const TOOL = {
  name: 'dig',
  title: 'Dig',
  inputSchema: { type: 'object' },
  'x-own': { kept: true },
};

test('a server with sessions, event streams and pages', async () => {
  const seen: unknown[] = [];
  const url = await serve(({ id, method, params }, { headers }, response) => {
    seen.push([
      method,
      headers['mcp-session-id'],
      headers['mcp-protocol-version'],
      headers['authorization'],
    ]);
    if (method === 'initialize') {
      json(
        response,
        { jsonrpc: '2.0', id, result: { protocolVersion: '2025-06-18' } },
        { 'mcp-session-id': 's1' },
      );
    } else if (id === undefined) response.writeHead(202).end();
    else {
      const page =
        params?.['cursor'] === 'two'
          ? { tools: [TOOL] }
          : { tools: [{ name: 'one' }], nextCursor: 'two' };
      const message = JSON.stringify({ jsonrpc: '2.0', id, result: page });
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.end(
        `: hello\n\nevent: message\ndata: {"jsonrpc":"2.0","method":"notifications/message"}\n\ndata: ${message}\n\n`,
      );
    }
  });
  const tools = await listServerTools({ url, headers: { authorization: 'Bearer x' } });
  expect(tools).toEqual([{ name: 'one' }, TOOL]);
  expect(seen).toEqual([
    ['initialize', undefined, undefined, 'Bearer x'],
    ['notifications/initialized', 's1', '2025-06-18', 'Bearer x'],
    ['tools/list', 's1', '2025-06-18', 'Bearer x'],
    ['tools/list', 's1', '2025-06-18', 'Bearer x'],
  ]);
});

test('a server of 2026-07-28, which knows no handshake', async () => {
  const url = await serve(({ id, method, params }, { headers }, response) => {
    const modern =
      headers['mcp-protocol-version'] === '2026-07-28' && headers['mcp-method'] === method;
    const meta = Object.keys((params?.['_meta'] ?? {}) as object);
    if (modern && meta.includes('io.modelcontextprotocol/protocolVersion')) {
      json(response, { jsonrpc: '2.0', id, result: { tools: [TOOL], ttlMs: 1 } });
    } else response.writeHead(400).end('{}');
  });
  expect(await listServerTools({ url, headers: {} })).toEqual([TOOL]);
});

const FAULTS: readonly (readonly [name: string, answer: string, type: string, said: string])[] = [
  [
    'refuses',
    '{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"who are you?"}}',
    'application/json',
    'who are you?',
  ],
  ['answers nonsense', '<html>', 'text/html', 'HTTP status 200'],
  [
    'lists something else',
    '{"jsonrpc":"2.0","id":1,"result":{}}',
    'application/json',
    'did not list its tools',
  ],
  [
    'lists without end',
    '{"jsonrpc":"2.0","id":1,"result":{"tools":[],"nextCursor":"x"}}',
    'application/json',
    'without end',
  ],
];
test.each(FAULTS)('a server that %s', async (_, answer, type, said) => {
  const url = await serve((_message, _request, response) => {
    response.writeHead(200, { 'content-type': type }).end(answer);
  });
  await expect(listServerTools({ url, headers: {} })).rejects.toThrow(said);
});

test('a server that is not there', async () => {
  await expect(listServerTools({ url: 'http://127.0.0.1:1/', headers: {} })).rejects.toThrow(
    'does not answer',
  );
});
