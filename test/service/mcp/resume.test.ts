// Streams of the old era that their server closes before the answer. Whoever comes back for the answer gets it as it
// would have come, and nobody gets around what it owes.

import type { ServerResponse } from 'node:http';

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import {
  type Gateway,
  type Received,
  type RecordingUpstream,
  startGateway,
  startRecorder,
} from '#test/support/gateway.ts';

const CARD = { card: '4711' };
const CALL = '{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"pay"}}';

/** A call whose stream stays open, and which its server gives to one reader at a time. */
const LONG =
  '{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":"pay","arguments":{"long":true}}}';

let gateway: Gateway;
let upstream: RecordingUpstream;
beforeAll(async () => {
  gateway = await startGateway(`package countersign.policy
decision := {"verdict": "allow", "obligations": [{"type": "redact", "paths": ["/card"]}]}
`);
  upstream = await startRecorder(answer);
  await gateway.upstream('rec', upstream.url, { tools: ['pay'] });
});
afterAll(async () => {
  await upstream.close();
  await gateway.close();
});
beforeEach(() => {
  upstream.received.splice(0);
});

/** A server with an event store: a call's stream ends after its first event, the answer waits for who comes back. */
function answer({ method, text, headers }: Received, response: ServerResponse): void {
  const message = text === '' ? {} : JSON.parse(text);
  if (message.method === 'initialize') {
    response
      .writeHead(200, { 'content-type': 'application/json', 'mcp-session-id': `up-${message.id}` })
      .end('{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25"}}');
    return;
  }
  if (method === 'GET' && headers['last-event-id'] === 'long-1') {
    answerLong(response);
    return;
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  if (message.params?.arguments.long === true) {
    reader = response.once('close', () => (reader = undefined));
    response.write('id: long-1\ndata:\n\n');
    return;
  }
  if (method === 'POST') {
    response.end('id: event-1\nretry: 10\ndata:\n\n');
    return;
  }
  const result = { content: [{ type: 'text', text: '4711' }], structuredContent: CARD };
  const data = JSON.stringify({ jsonrpc: '2.0', id: 9, result });
  response.end(headers['last-event-id'] === 'event-1' ? `id: event-2\ndata: ${data}\n\n` : '');
}

let reader: ServerResponse | undefined;
function answerLong(response: ServerResponse): void {
  if (reader !== undefined) {
    response.writeHead(409).end();
    return;
  }
  const result = { content: [], structuredContent: { long: true } };
  const data = JSON.stringify({ jsonrpc: '2.0', id: 8, result });
  response
    .writeHead(200, { 'content-type': 'text/event-stream' })
    .end(`id: long-2\ndata: ${data}\n\n`);
}

const post = async (body: string, headers: Readonly<Record<string, string>>, to = gateway.url) => {
  const response = await fetch(`${to}/mcp/rec`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...gateway.headers, ...headers },
    body,
  });
  return { headers: response.headers, text: await response.text() };
};
const open = async () => {
  const { headers } = await post('{"jsonrpc":"2.0","id":1,"method":"initialize"}', {});
  return { 'mcp-session-id': headers.get('mcp-session-id') ?? '' };
};
/** Sends a call whose stream ends early; gives the place to come back to. */
const paused = async (session: Readonly<Record<string, string>>, to = gateway.url) => {
  const { text } = await post(CALL, session, to);
  return { text, id: /^id: (.*)$/m.exec(text)?.[1] ?? '' };
};
const resume = async (headers: Readonly<Record<string, string>>, to = gateway.url) => {
  const response = await fetch(`${to}/mcp/rec`, { headers: { ...gateway.headers, ...headers } });
  return { status: response.status, text: await response.text() };
};
const dataIn = (text: string) => JSON.parse(text.match(/(?<=^data: ).+$/gm)?.at(-1) ?? 'null');
const outcomesFrom = async (count: number) =>
  (await gateway.outcomes()).slice(count).map(({ status }) => status);

describe('a stream that its server closes early', () => {
  test('can be taken up at any replica, and the answer is settled as it would have been', async () => {
    const before = (await gateway.outcomes()).length;
    const session = await open();
    const { text, id } = await paused(session);
    expect(text).toBe(`id: ${id}\nretry: 10\ndata: \n\n`);
    expect(id).not.toContain('event-1');
    expect(await outcomesFrom(before)).toEqual([]);

    const replica = await gateway.replica();
    const { text: rest } = await resume({ ...session, 'last-event-id': id }, replica);
    expect(dataIn(rest)).toEqual({
      jsonrpc: '2.0',
      id: 9,
      result: {
        content: [{ type: 'text', text: '{"card":"[redacted]"}' }],
        structuredContent: { card: '[redacted]' },
      },
    });
    expect(await outcomesFrom(before)).toEqual(['executed']);
    const { headers } = upstream.received.at(-1)!;
    expect(headers).toMatchObject({ 'last-event-id': 'event-1', 'mcp-session-id': 'up-1' });

    const again = await resume({ ...session, 'last-event-id': id });
    expect(again.text).not.toContain('4711');
    expect(await outcomesFrom(before)).toEqual(['executed']);
    await gateway.stopReplica();
  });

  test('can be taken up where the connection broke, though its server takes one reader at a time', async () => {
    const before = (await gateway.outcomes()).length;
    const session = await open();
    const broken = new AbortController();
    const { body } = await fetch(`${gateway.url}/mcp/rec`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...gateway.headers, ...session },
      body: LONG,
      signal: broken.signal,
    });
    const { value } = await body!.getReader().read();
    broken.abort();
    const id = /^id: (.*)$/m.exec(new TextDecoder().decode(value))?.[1] ?? '';
    expect(reader).toBeDefined();
    const { status, text } = await resume({ ...session, 'last-event-id': id });
    expect([status, dataIn(text).result.structuredContent]).toEqual([200, { long: true }]);
    expect(await outcomesFrom(before)).toEqual(['executed']);
  });

  test('leaves an outcome also when nobody comes back', async () => {
    const before = (await gateway.outcomes()).length;
    await paused(await open(), await gateway.replica());
    expect(await outcomesFrom(before)).toEqual([]);
    await gateway.stopReplica();
    expect(await outcomesFrom(before)).toEqual(['unknown']);
  });

  test.each<[string, (id: string) => Promise<Record<string, string>>]>([
    ["of the upstream's own", async () => ({ 'last-event-id': 'event-1' })],
    ['that was changed', async (id) => ({ 'last-event-id': `${id.slice(0, -4)}AAAA` })],
    ['of another session', async (id) => ({ 'last-event-id': id, ...(await open()) })],
    [
      'of somebody else',
      async (id) => ({
        'last-event-id': id,
        authorization: `Bearer ${await gateway.world.identity({ sub: 'mallory@example.com' })}`,
      }),
    ],
  ])('cannot be taken up from an id %s', async (_, change) => {
    const session = await open();
    const { id } = await paused(session);
    upstream.received.splice(0);
    const { status, text } = await resume({ ...session, ...(await change(id)) });
    expect(status).toBeGreaterThanOrEqual(400);
    expect(text).not.toContain('4711');
    expect(upstream.received.filter(({ method }) => method === 'GET')).toEqual([]);
  });

  test('of a client without a session has no place to come back to', async () => {
    const { text, id } = await paused({});
    expect(id).toBe('');
    expect(dataIn(text).result).toMatchObject({ isError: true });
  });
});
