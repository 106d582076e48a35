// Streams through the gateway: progress as it comes, cancellation, sessions of the old era, and the order of outcome
// and answer.

import type { ServerResponse } from 'node:http';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import {
  type Gateway,
  modern,
  type Received,
  type RecordingUpstream,
  startGateway,
  startRecorder,
} from '#test/support/gateway.ts';

let gateway: Gateway;
let upstream: RecordingUpstream;
/** Streams that the upstream has open, by the value of the argument `key`. */
const open = new Map<string, { readonly id: unknown; readonly response: ServerResponse }>();

const event = (message: object) => `data: ${JSON.stringify({ jsonrpc: '2.0', ...message })}\n\n`;
const progress = (done: number) =>
  event({ method: 'notifications/progress', params: { progressToken: 1, progress: done } });

beforeAll(async () => {
  gateway = await startGateway();
  upstream = await startRecorder(answer);
  await gateway.upstream('rec', upstream.url, { tools: ['work'] });
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

function answer({ method, text }: Received, response: ServerResponse): void {
  if (method !== 'POST') {
    if (method === 'DELETE') return void response.writeHead(204).end();
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(event({ method: 'notifications/tools/list_changed' }));
    response.write(event({ id: 99, result: { tools: [{ name: 'secret' }] } }));
    return;
  }
  const { id, method: rpc, params } = JSON.parse(text);
  if (rpc === 'initialize') {
    response
      .writeHead(200, { 'content-type': 'application/json', 'mcp-session-id': 'upstream-session' })
      .end(JSON.stringify({ jsonrpc: '2.0', id, result: { protocolVersion: '2025-11-25' } }));
  } else if (rpc === 'tools/call' || rpc === 'subscriptions/listen') {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(progress(1));
    open.set(params.arguments?.key ?? rpc, { id, response });
  } else response.writeHead(202).end();
}

function finish(key: string): void {
  const { id, response } = open.get(key)!;
  response.end(event({ id, result: { content: [{ type: 'text', text: 'done' }] } }));
}

async function call(
  key: string,
  { body, headers } = modern('tools/call', { name: 'work', arguments: { key } }),
  to = 'rec',
) {
  const gone = new AbortController();
  const response = await fetch(`${gateway.url}/mcp/${to}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...gateway.headers, ...headers },
    body: JSON.stringify(body),
    signal: gone.signal,
  });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  return { response, next: async () => (await reader.read()).value, leave: () => gone.abort() };
}

const old = (key: string, session = '') => ({
  body: {
    jsonrpc: '2.0',
    id: 5,
    method: 'tools/call',
    params: { name: 'work', arguments: { key } },
  },
  headers: session === '' ? {} : ({ 'mcp-session-id': session } as Record<string, string>),
});
const last = async () => (await gateway.outcomes()).at(-1);

async function openSession(headers: Readonly<Record<string, string>> = {}): Promise<string> {
  const params = {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 't', version: '1' },
  };
  const body = { jsonrpc: '2.0', id: 1, method: 'initialize', params };
  return (await gateway.rpc('rec', body, headers)).headers.get('mcp-session-id') ?? '';
}

const another = async () => ({
  authorization: `Bearer ${await gateway.world.identity({ sub: 'mallory@example.com' })}`,
});

describe('a stream', () => {
  test('is relayed as it comes, and its answer only after the outcome was recorded', async () => {
    const { response, next } = await call('a');
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    expect(response.headers.get('x-accel-buffering')).toBe('no');
    expect(await next()).toBe(progress(1));
    open.get('a')!.response.write(progress(2));
    expect(await next()).toBe(progress(2));
    finish('a');
    expect(await next()).toContain('"done"');
    expect(await last()).toMatchObject({ status: 'executed' });
  });

  test('that a client of the new era closes is cancelled at the upstream', async () => {
    const { next, leave } = await call('b');
    await next();
    leave();
    await upstream.received.at(-1)!.aborted;
    await expect
      .poll(last)
      .toMatchObject({ status: 'unknown', detail: { error: 'cancelled by the caller' } });
  });

  test('that a client of the old era closes goes on, and its outcome is learned', async () => {
    const { next, leave } = await call('c', old('c'));
    await next();
    leave();
    finish('c');
    await expect.poll(last).toMatchObject({ status: 'executed' });
  });

  test('that a client of the old era closes is not read for ever', async () => {
    await gateway.upstream('quick', upstream.url, { tools: ['work'], timeoutMs: 200 });
    const { next, leave } = await call('e', old('e'), 'quick');
    await next();
    const kept = setInterval(() => open.get('e')!.response.write(': alive\n\n'), 50);
    leave();
    await upstream.received.at(-1)!.aborted;
    clearInterval(kept);
    await expect.poll(last).toMatchObject({ status: 'unknown' });
  });

  test('carries no answer to anything but its own request', async () => {
    const { next } = await call('d');
    await next();
    open.get('d')!.response.write(event({ id: 'other', result: { tools: [{ name: 'secret' }] } }));
    open.get('d')!.response.write('data: [{"jsonrpc":"2.0","id":1,"result":{}}]\n\n');
    finish('d');
    expect(await next()).toContain('"done"');
  });
});

describe('a session of the old era', () => {
  test('has an id of ours, and the upstream gets its own', async () => {
    const session = await openSession();
    expect(session).not.toContain('upstream-session');
    const { next } = await call('e', old('e', session));
    await next();
    expect(upstream.received.at(-1)!.headers['mcp-session-id']).toBe('upstream-session');
    finish('e');
    await gateway.rpc(
      'rec',
      { jsonrpc: '2.0', id: 's1', result: { roots: [] } },
      old('', session).headers,
    );
    expect(upstream.received.at(-1)).toMatchObject({
      text: '{"id":"s1","jsonrpc":"2.0","result":{"roots":[]}}',
    });
    const ended = await fetch(`${gateway.url}/mcp/rec`, {
      method: 'DELETE',
      headers: { ...gateway.headers, 'mcp-session-id': session },
    });
    expect([ended.status, upstream.received.at(-1)!.method]).toEqual([204, 'DELETE']);
  });

  test('belongs to whoever opened it', async () => {
    const session = await openSession();
    const count = upstream.received.length;
    const headers = { ...old('', session).headers, ...(await another()) };
    const ping = await gateway.rpc('rec', { jsonrpc: '2.0', id: 1, method: 'ping' }, headers);
    const used = await gateway.rpc('rec', old('x', session).body, headers);
    expect([ping.status, used.status, upstream.received.length]).toEqual([404, 404, count]);
    expect(used.body.error.data.reason.code).toBe('request.unknown_session');
    expect(await last()).toMatchObject({ status: 'refused_late' });
  });

  test.each([['upstream-session'], ['AAAA'], ['']])('"%s" is none', async (id) => {
    const { status } = await gateway.rpc(
      'rec',
      { jsonrpc: '2.0', id: 1, method: 'ping' },
      { 'mcp-session-id': id },
    );
    expect(status).toBe(404);
  });

  test('has a stream of its own that carries no answers, and ends with the process', async () => {
    const url = await gateway.replica();
    const session = await openSession();
    const response = await fetch(`${url}/mcp/rec`, {
      headers: { ...gateway.headers, 'mcp-session-id': session, accept: 'text/event-stream' },
    });
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    expect((await reader.read()).value).toBe(event({ method: 'notifications/tools/list_changed' }));
    const ended = upstream.received.at(-1)!.aborted;
    await gateway.stopReplica();
    expect((await reader.read()).done).toBe(true);
    await ended;
  });
});

test('a stream that listens ends as executed when its client leaves', async () => {
  const { next, leave } = await call('', modern('subscriptions/listen', { notifications: {} }));
  expect(await next()).toBe(progress(1));
  leave();
  await expect.poll(last).toMatchObject({ status: 'executed' });
});
