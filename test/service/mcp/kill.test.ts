// A kill switch reaches calls that are on their way: the upstream is cut off, the agent is told, the outcome says so.

import type { ServerResponse } from 'node:http';

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import { CONTROL_KEYS } from '#contracts/control.ts';
import { PLATFORM } from '#contracts/ids.ts';
import type { SwitchScope } from '#contracts/stop.ts';
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
let identity: string;
/** Answers that the upstream owes, by the argument `key`. */
const open = new Map<string, { readonly id: unknown; readonly response: ServerResponse }>();
const engaged = new Set<string>();

const event = (message: object) => `data: ${JSON.stringify({ jsonrpc: '2.0', ...message })}\n\n`;

function answer({ method, text }: Received, response: ServerResponse): void {
  if (method === 'GET') {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(event({ method: 'notifications/tools/list_changed' }));
    return;
  }
  const { id, method: rpc, params } = JSON.parse(text);
  if (rpc === 'initialize') {
    response
      .writeHead(200, { 'content-type': 'application/json', 'mcp-session-id': 'upstream-session' })
      .end(JSON.stringify({ jsonrpc: '2.0', id, result: { protocolVersion: '2025-11-25' } }));
    return;
  }
  const { key, silent } = params.arguments;
  if (silent !== true) {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(`id: 1\n${event({ method: 'notifications/progress', params: {} })}`);
  }
  open.set(key, { id, response });
}

beforeAll(async () => {
  gateway = await startGateway();
  upstream = await startRecorder(answer);
  await gateway.upstream('rec', upstream.url, { tools: ['work', 'other'] });
  const { world } = gateway;
  await world.put(CONTROL_KEYS.issuer('acme', 'idp'), {
    ...(await world.operator
      .bucket('control')
      .then((bucket) => bucket.get('issuer.acme.idp')))!.json<{ value: object }>().value,
    claims: { workflow: 'wf', session: 'sid' },
  });
  identity = await world.identity({ claims: { wf: 'month-end', sid: 's-17' } });
});
afterEach(async () => {
  for (const key of engaged) await put(key, null);
  engaged.clear();
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

async function kill(scope: SwitchScope, id: string): Promise<void> {
  const key = CONTROL_KEYS.switch(scope === 'global' ? PLATFORM : 'acme', scope, id);
  engaged.add(key);
  await put(key, { scope, id, by: 'ada', reason: 'r', at: 1, release: null });
}

/** Written, and known to the worker. */
async function put(key: string, value: object | null): Promise<void> {
  await gateway.world.put(key, value);
  await gateway.world.ask({ ask: 'visible' });
}

/** Sends a call; resolves with the last JSON that came. */
async function call(key: string, { tool = 'work', silent = false, headers = {} } = {}) {
  const request = modern('tools/call', { name: tool, arguments: { key, silent } });
  const own = { ...request.headers, authorization: `Bearer ${identity}`, ...headers };
  return gateway.rpc('rec', request.body, own);
}
const underWay = (key: string) => expect.poll(() => open.has(key)).toBe(true);
const outcomeOf = async (decision: string) =>
  (await gateway.outcomes()).find(({ decision_id }) => decision_id === decision);
const told = (body: {
  result: { content: [{ text: string }]; isError: boolean; _meta: never };
}) => {
  const { content, isError, _meta } = body.result;
  return { text: content[0].text, isError, decision: _meta['countersign/decision']['decision_id'] };
};

describe('a call on its way', () => {
  test.each<[scope: SwitchScope, id: string]>([
    ['global', ''],
    ['tenant', ''],
    ['agent', 'shop-agent'],
    ['tool', 'work'],
    ['upstream', 'rec'],
    ['person', 'alice@example.com'],
    ['workflow', 'month-end'],
    ['session', 's-17'],
  ])('is cut off by a switch for its %s', async (scope, id) => {
    const key = `cut-${scope}`;
    const calling = call(key);
    await underWay(key);
    const { aborted } = upstream.received.at(-1)!;
    await kill(scope, id);
    await aborted;
    const { text, isError, decision } = told((await calling).body);
    expect(isError).toBe(true);
    expect(text).toContain('[call.killed, decision ');
    expect(await outcomeOf(decision)).toMatchObject({
      status: 'aborted',
      detail: { error: `kill switch: ${scope}` },
    });
    const next = await call(key);
    expect(told(next.body).text).toContain('[capability.killed, decision ');
  });

  test('is cut off before the upstream has said anything', async () => {
    const calling = call('silent', { silent: true });
    await underWay('silent');
    await kill('tool', 'work');
    const { text, decision } = told((await calling).body);
    expect(text).toContain('[call.killed, decision ');
    expect(await outcomeOf(decision)).toMatchObject({ status: 'aborted' });
  });

  test('goes on when the switch is for something else', async () => {
    const calling = call('other', { tool: 'other' });
    const cut = call('cut');
    await underWay('other');
    await underWay('cut');
    await kill('tool', 'work');
    await cut;
    const { id, response } = open.get('other')!;
    response.end(event({ id, result: { content: [{ type: 'text', text: 'done' }] } }));
    expect((await calling).body.result.content[0].text).toBe('done');
  });
});

describe('a stream of the old era', () => {
  async function session(): Promise<string> {
    const params = {
      protocolVersion: '2025-11-25',
      capabilities: {},
      clientInfo: { name: 't', version: '1' },
    };
    const body = { jsonrpc: '2.0', id: 1, method: 'initialize', params };
    return (await gateway.rpc('rec', body)).headers.get('mcp-session-id') ?? '';
  }

  test('that answers a call ends with the code, though it could be resumed', async () => {
    const headers = { 'mcp-session-id': await session() };
    const params = { name: 'work', arguments: { key: 'old' } };
    const calling = gateway.rpc(
      'rec',
      { jsonrpc: '2.0', id: 5, method: 'tools/call', params },
      headers,
    );
    await underWay('old');
    await kill('agent', 'shop-agent');
    const { text, decision } = told((await calling).body);
    expect(text).toContain('[call.killed, decision ');
    expect(await outcomeOf(decision)).toMatchObject({ status: 'aborted' });
  });

  test('that only listens ends, and is refused from then on', async () => {
    const headers = {
      ...gateway.headers,
      accept: 'text/event-stream',
      'mcp-session-id': await session(),
    };
    const listen = () => fetch(`${gateway.url}/mcp/rec`, { headers });
    const response = await listen();
    expect(response.status).toBe(200);
    await kill('agent', 'shop-agent');
    expect(await response.text()).toContain('list_changed');
    const refused = await listen();
    expect([refused.status, await refused.text()]).toEqual([
      403,
      expect.stringContaining('capability.killed'),
    ]);
  });
});
