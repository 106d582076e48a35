// What the agent sees of a held call once people decide: by its handle, by its MCP task, by its page.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { type Approvals, startApprovals } from '#test/support/approvals.ts';
import {
  type Gateway,
  modern,
  type RecordingUpstream,
  startGateway,
  startRecorder,
} from '#test/support/gateway.ts';

const TASKS = { extensions: { 'io.modelcontextprotocol/tasks': {} } };
const PAGES = { elicitation: { url: {} } };
const HOLD = `package countersign.policy
decision := {"verdict": "escalate", "message": "Payments wait.", "approval": {"effect": $"Pay {input.call.arguments.amount}."}}
`;

let gateway: Gateway;
let approvals: Approvals;
let upstream: RecordingUpstream;
beforeAll(async () => {
  gateway = await startGateway(HOLD);
  upstream = await startRecorder();
  const schema = {
    type: 'object',
    properties: { amount: { type: 'number', 'x-mcp-header': 'Amount' } },
  };
  await gateway.upstream('rec', upstream.url, {
    tools: [{ name: 'pay', upstream: 'rec', input_schema: schema }],
  });
  approvals = await startApprovals({ over: gateway.world });
}, 120_000);
afterAll(async () => {
  await approvals?.close();
  await upstream?.close();
  await gateway?.close();
});

let amount = 0;
const fresh = () => ++amount;

/** Asks for a decision as a program does. */
async function ask(paid: number, body: object = {}) {
  const response = await fetch(`${gateway.url}/v1/decisions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...gateway.headers },
    body: JSON.stringify({ tool: 'pay', upstream: 'rec', arguments: { amount: paid }, ...body }),
  });
  return (await response.json()) as Record<string, never> & {
    verdict: string;
    reason: { code: string };
    approval_id: string;
    approval_handle: string;
    decision_id: string;
    recorded: { ref: string };
  };
}

async function poll(handle: string, wait = 0, headers = gateway.headers, method = 'GET') {
  const url = `${gateway.url}/v1/approvals/${handle}?wait=${wait}`;
  const response = await fetch(method === 'GET' ? url : url.split('?')[0]!, { method, headers });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

describe('the handle of a held call', () => {
  test('waits for the person, and the same call is then released once', async () => {
    const paid = fresh();
    const held = await ask(paid);
    expect(held.verdict).toBe('escalate');
    const waiting = poll(held.approval_handle, 30);
    await approvals.approve(held.approval_id);
    expect((await waiting).body).toMatchObject({
      approval_id: held.approval_id,
      state: 'approved',
      next: 'repeat',
    });
    const released = await ask(paid);
    expect([released.verdict, released.reason.code]).toEqual(['allow', 'policy.approved']);
    await fetch(`${gateway.url}/v1/decisions/${released.decision_id}/outcome`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...gateway.headers },
      body: JSON.stringify({ ref: released.recorded.ref, status: 'executed' }),
    });
    await expect
      .poll(async () => (await poll(held.approval_handle)).body, { timeout: 20_000 })
      .toMatchObject({
        state: 'used',
        next: 'stop',
        used: { decision_id: released.decision_id, effect: 'executed' },
      });
  });

  test('a wait that ends says nothing about the call', async () => {
    const held = await ask(fresh());
    await approvals.until(held.approval_id, 'pending');
    expect((await poll(held.approval_handle, 1)).body).toMatchObject({
      state: 'pending',
      next: 'wait',
    });
    expect((await approvals.entry(held.approval_id))?.state).toBe('pending');
  });

  test('tells a no with its words, and a withdrawal of the agent itself', async () => {
    const held = await ask(fresh());
    await approvals.until(held.approval_id, 'pending');
    await approvals.step(held.approval_id, 'deny', 'ada', 'Not today.');
    expect((await poll(held.approval_handle, 10)).body).toMatchObject({
      state: 'denied',
      next: 'stop',
      note: 'Not today.',
    });
    const other = await ask(fresh());
    await approvals.until(other.approval_id, 'pending');
    await poll(other.approval_handle, 0, gateway.headers, 'DELETE');
    expect((await poll(other.approval_handle, 10)).body).toMatchObject({ state: 'cancelled' });
  });

  test('tells what a person changed it into; that is judged anew, and runs by the yes of another', async () => {
    const paid = fresh();
    const held = await ask(paid);
    await approvals.edit(held.approval_id, { amount: 1_000_000 + paid });
    expect((await poll(held.approval_handle, 10)).body).toMatchObject({
      state: 'edited',
      next: 'stop',
      note: `So it is right. Changed arguments: {"amount":${1_000_000 + paid}}`,
      edited: { arguments: { amount: 1_000_000 + paid } },
    });
    expect((await ask(paid)).reason.code).toBe('approval.edited');
    const changed = await ask(1_000_000 + paid);
    expect(changed.verdict).toBe('escalate');
    await approvals.approve(changed.approval_id, 'grace');
    await approvals.until(changed.approval_id, 'approved');
    expect((await ask(1_000_000 + paid)).verdict).toBe('allow');
    expect((await ask(1_000_000 + paid)).reason.code).toBe('approval.used');
  });

  test('is of no use to anybody else, nor changed, nor made up', async () => {
    const held = await ask(fresh());
    const mallory = await gateway.world.identity({ sub: 'mallory@example.com' });
    const foreign = { authorization: `Bearer ${mallory}` };
    expect((await poll(held.approval_handle, 0, foreign)).status).toBe(404);
    expect((await poll(`${held.approval_handle}x`)).status).toBe(404);
    expect((await poll(held.approval_id)).status).toBe(404);
    expect((await poll(held.approval_handle, 56)).status).toBe(400);
  });
});

const send = ({ body, headers }: ReturnType<typeof modern>) => gateway.rpc('rec', body, headers);
const pay = (paid: number, capabilities: object, params: object = {}) => {
  const call = modern(
    'tools/call',
    { name: 'pay', arguments: { amount: paid }, ...params },
    capabilities,
  );
  return { ...call, headers: { ...call.headers, 'mcp-param-amount': String(paid) } };
};
const get = (taskId: string) => send(modern('tasks/get', { taskId }, TASKS));
const approvalIn = (result: { _meta: Record<string, { approval_id: string }> }) =>
  result._meta['countersign/decision']?.approval_id ?? '';

describe('the task of a held call', () => {
  test('completes with the result of the tool, once, by the request that asks for it', async () => {
    upstream.received.splice(0);
    const paid = fresh();
    const { result } = (await send(pay(paid, TASKS))).body;
    expect((await get(result.taskId)).body.result).toMatchObject({ status: 'working' });
    await approvals.approve(approvalIn(result));
    await approvals.until(approvalIn(result), 'approved');
    const done = (await get(result.taskId)).body.result;
    expect(done).toMatchObject({
      resultType: 'complete',
      taskId: result.taskId,
      status: 'completed',
      result: { content: [{ type: 'text', text: 'done' }] },
    });
    const [{ text, headers }] = upstream.received as unknown as [
      { text: string; headers: Record<string, string> },
    ];
    expect(JSON.parse(text)).toMatchObject({
      method: 'tools/call',
      params: { name: 'pay', arguments: { amount: paid } },
    });
    expect([headers['mcp-method'], headers['mcp-name'], headers['mcp-param-amount']]).toEqual([
      'tools/call',
      'pay',
      String(paid),
    ]);
    await expect
      .poll(async () => (await get(result.taskId)).body.result, { timeout: 20_000 })
      .toMatchObject({ status: 'completed', result: { isError: false } });
    expect(upstream.received.length).toBe(1);
  });

  test('of many that ask at once one gets the result, and the tool runs once', async () => {
    upstream.received.splice(0);
    const { result } = (await send(pay(fresh(), TASKS))).body;
    await approvals.approve(approvalIn(result));
    await approvals.until(approvalIn(result), 'approved');
    const answers = await Promise.all(Array.from({ length: 16 }, () => get(result.taskId)));
    const ran = answers.filter(({ body }) => body.result?.result?.content[0].text === 'done');
    expect([ran.length, upstream.received.length]).toEqual([1, 1]);
  });

  test.each([
    ['declined', 'deny', { status: 'completed', result: { isError: true } }],
    ['withdrawn', 'cancel', { status: 'cancelled' }],
  ] as const)('that is %s says so', async (_, step, expected) => {
    const { result } = (await send(pay(fresh(), TASKS))).body;
    const id = approvalIn(result);
    await approvals.until(id, 'pending');
    await approvals.step(id, step, 'ada', 'No.');
    await approvals.until(id, step === 'deny' ? 'denied' : 'cancelled');
    expect((await get(result.taskId)).body.result).toMatchObject(expected);
  });

  test('runs once by its own approval, also while a grant would cover it again', async () => {
    upstream.received.splice(0);
    const paid = fresh();
    const { result } = (await send(pay(paid, TASKS))).body;
    const id = approvalIn(result);
    await approvals.approve(id, 'ada', {
      uses: 20,
      for_s: 600,
      bounds: [{ path: '/amount', min: paid, max: paid }],
    });
    await approvals.until(id, 'approved');
    for (let round = 0; round < 4; round++) {
      await Promise.all(Array.from({ length: 8 }, () => get(result.taskId)));
    }
    expect(upstream.received.length).toBe(1);
    expect((await ask(paid)).verdict).toBe('allow');
  });

  test('that a person changed says what into, and runs nothing', async () => {
    upstream.received.splice(0);
    const { result } = (await send(pay(fresh(), TASKS))).body;
    const id = approvalIn(result);
    await approvals.until(id, 'pending');
    await approvals.edit(id, { amount: 2_000_000 });
    await approvals.until(id, 'edited');
    const told = (await get(result.taskId)).body.result;
    expect(told).toMatchObject({ status: 'completed', result: { isError: true } });
    expect(told.result.content[0].text).toContain('Changed arguments: {"amount":2000000}');
    expect(upstream.received).toEqual([]);
  });

  test('that is updated goes on: it asks nothing of its client', async () => {
    const { result } = (await send(pay(fresh(), TASKS))).body;
    const update = modern('tasks/update', { taskId: result.taskId, inputResponses: {} }, TASKS);
    expect((await send(update)).body.result).toMatchObject({ resultType: 'complete' });
    expect((await get(result.taskId)).body.result).toMatchObject({ status: 'working' });
  });

  test('can be withdrawn by its own agent', async () => {
    const { result } = (await send(pay(fresh(), TASKS))).body;
    await approvals.until(approvalIn(result), 'pending');
    await send(modern('tasks/cancel', { taskId: result.taskId }, TASKS));
    await approvals.until(approvalIn(result), 'cancelled');
  });
});

describe('a client that opens pages', () => {
  test('sees the state there, and comes back with the same call', async () => {
    const paid = fresh();
    const held = (await send(pay(paid, PAGES))).body.result;
    const page = async () => (await fetch(held.inputRequests.approval.params.url)).text();
    expect(await page()).toContain('<h1>Waiting for approval</h1>');
    const { requestState } = held;
    const retry = { requestState, inputResponses: { approval: { action: 'accept' } } };
    await approvals.approve(approvalIn(held));
    await approvals.until(approvalIn(held), 'approved');
    expect(await page()).toContain('<h1>Approved</h1>');
    expect((await send(pay(paid, PAGES, retry))).body.result).toMatchObject({
      content: [{ text: 'done' }],
    });
    await expect.poll(page, { timeout: 20_000 }).toContain('<h1>Approved and released</h1>');
  });
});
