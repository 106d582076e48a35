// A held call: what each kind of client gets to wait with, and what a client cannot do with it.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import {
  answerEmpty,
  type Gateway,
  modern,
  type RecordingUpstream,
  startGateway,
  startRecorder,
} from '#test/support/gateway.ts';

const TASKS = { extensions: { 'io.modelcontextprotocol/tasks': {} } };
const PAGES = { elicitation: { url: {} } };
const HOLD = `package countersign.policy
decision := {"verdict": "escalate"}
`;
const ALLOW = `package countersign.policy
decision := {"verdict": "allow"}
`;

let gateway: Gateway;
let upstream: RecordingUpstream;
beforeAll(async () => {
  gateway = await startGateway(HOLD);
  upstream = await startRecorder((received, response) => {
    if (JSON.parse(received.text).method !== 'initialize') return answerEmpty(received, response);
    response
      .writeHead(200, { 'content-type': 'application/json', 'mcp-session-id': 'up-1' })
      .end('{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25"}}');
  });
  await gateway.upstream('rec', upstream.url, { tools: ['pay', 'wipe'] });
});
afterAll(async () => {
  await upstream.close();
  await gateway.close();
});

const send = (
  { body, headers }: ReturnType<typeof modern>,
  more: Readonly<Record<string, string>> = {},
) => gateway.rpc('rec', body, { ...headers, ...more });
const pay = (capabilities: object, params: object = {}) =>
  modern('tools/call', { name: 'pay', arguments: { amount: 1 }, ...params }, capabilities);
const task = (method: string, taskId: string) => send(modern(method, { taskId }, TASKS));
const another = async () => ({
  authorization: `Bearer ${await gateway.world.identity({ sub: 'mallory@example.com' })}`,
});

test('a client that can neither wait nor open a page is told to wait and to repeat the call', async () => {
  const { body } = await send(pay({}));
  const decision = body.result._meta['countersign/decision'];
  expect(body.result).toMatchObject({ resultType: 'complete', isError: true });
  expect(body.result.content[0].text).toBe(
    'This call is held and has not run. A person has to approve this call. Wait for the approval, then repeat exactly ' +
      `this call; changing it needs a new approval. [policy.needs_approval, approval ${decision.approval_id}, ` +
      `decision ${decision.decision_id}]`,
  );
  expect(upstream.received).toEqual([]);
});

describe('a client of the tasks extension', () => {
  test('gets a task that works for as long as it is asked for, at any replica', async () => {
    const { body } = await send(pay(TASKS));
    const { taskId, createdAt } = body.result;
    const working = {
      taskId,
      status: 'working',
      statusMessage: 'Waiting for an approval.',
      createdAt,
      lastUpdatedAt: createdAt,
      ttlMs: 3_600_000,
      pollIntervalMs: 5_000,
    };
    expect(body.result).toEqual({
      resultType: 'task',
      ...working,
      _meta: { 'countersign/decision': expect.objectContaining({ verdict: 'escalate' }) },
    });
    expect((await task('tasks/get', taskId)).body.result).toEqual({
      resultType: 'complete',
      ...working,
    });
    const elsewhere = modern('tasks/get', { taskId }, TASKS);
    const answer = await fetch(`${await gateway.replica()}/mcp/rec`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...gateway.headers, ...elsewhere.headers },
      body: JSON.stringify(elsewhere.body),
    });
    expect(((await answer.json()) as { result: object }).result).toEqual({
      resultType: 'complete',
      ...working,
    });
    expect((await task('tasks/cancel', taskId)).body.result).toEqual({ resultType: 'complete' });
    expect(upstream.received).toEqual([]);
  });

  test('learns nothing of a task of somebody else', async () => {
    const { body } = await send(pay(TASKS));
    const answer = await send(
      modern('tasks/get', { taskId: body.result.taskId }, TASKS),
      await another(),
    );
    expect(answer.body.error).toMatchObject({ code: -32602 });
  });
});

describe('a client of the new era that opens pages', () => {
  test('gets a page of ours without anything that could act', async () => {
    const { body } = await send(pay(PAGES));
    const { params } = body.result.inputRequests.approval;
    expect(body.result).toMatchObject({ resultType: 'input_required' });
    expect(params.url).toMatch(new RegExp(`^${gateway.url}/held/[A-Za-z0-9_-]+$`));
    const page = await fetch(params.url);
    expect(page.headers.get('content-security-policy')).toBe(
      "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    );
    const text = await page.text();
    expect(text).toContain(body.result._meta['countersign/decision'].decision_id);
    expect(text).not.toMatch(/<(script|form|a|img|iframe)\b/);
    expect((await fetch(`${params.url}x`)).status).toBe(404);
  });

  test('comes back with the state and is judged anew', async () => {
    const held = await send(pay(PAGES));
    const retry = {
      requestState: held.body.result.requestState,
      inputResponses: { approval: { action: 'accept' } },
    };
    const again = await send(pay(PAGES, retry));
    expect(again.body.result).toMatchObject({ resultType: 'input_required' });
    await gateway.world.activate(ALLOW);
    await expect
      .poll(async () => (await send(pay(PAGES, retry))).body, { timeout: 20_000 })
      .toMatchObject({ result: { content: [{ text: 'done' }] } });
    const [{ text }] = upstream.received.splice(0) as unknown as [{ text: string }];
    expect(Object.keys(JSON.parse(text).params).sort()).toEqual(['_meta', 'arguments', 'name']);
    await gateway.world.activate(HOLD);
    await expect
      .poll(async () => (await send(pay({}))).body.result.isError, { timeout: 10_000 })
      .toBe(true);
    upstream.received.splice(0);
  });

  test('that does not want to look at the page is told to wait instead', async () => {
    const held = await send(pay(PAGES));
    const { requestState } = held.body.result;
    const declined = { requestState, inputResponses: { approval: { action: 'decline' } } };
    expect((await send(pay(PAGES, declined))).body.result).toMatchObject({
      resultType: 'complete',
      isError: true,
    });
  });

  test.each<[string, object, () => Promise<Record<string, string>>]>([
    ['for other arguments', { arguments: { amount: 2 } }, async () => ({})],
    ['for another tool', { name: 'wipe' }, async () => ({})],
    ['of somebody else', {}, another],
    ['that was changed', { requestState: 'countersign.AAAA' }, async () => ({})],
  ])('cannot use a state %s', async (_, change, who) => {
    const { body } = await send(pay(PAGES));
    const { requestState } = body.result;
    const inputResponses = { approval: { action: 'accept' } };
    const answer = await send(pay(PAGES, { requestState, inputResponses, ...change }), await who());
    expect(answer.body.error).toMatchObject({ code: -32602 });
  });
});

describe('a client of the old era', () => {
  const call = '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"pay"}}';
  const initialize = async (capabilities: object) => {
    const { headers } = await gateway.rpc('rec', {
      jsonrpc: '2.0',
      id: 1,
      method: 'initialize',
      params: {
        protocolVersion: '2025-11-25',
        capabilities,
        clientInfo: { name: 't', version: '1' },
      },
    });
    return { 'mcp-session-id': headers.get('mcp-session-id') ?? '' };
  };

  test('that opens pages gets one by an error of the protocol', async () => {
    const { body } = await gateway.rpc('rec', call, await initialize(PAGES));
    expect(body.error).toMatchObject({
      code: -32042,
      data: {
        elicitations: [{ mode: 'url', url: expect.stringContaining('/held/') }],
        'countersign/decision': { verdict: 'escalate' },
      },
    });
    const { elicitations, 'countersign/decision': decision } = body.error.data;
    expect(elicitations[0].elicitationId).toBe(decision.approval_id);
  });

  test('that does not is told to wait and to repeat the call', async () => {
    const { body } = await gateway.rpc('rec', call, await initialize({ elicitation: {} }));
    expect(body.result).toMatchObject({ isError: true });
    expect(body.result).not.toHaveProperty('resultType');
  });
});
