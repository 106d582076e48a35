// An agent's side of a held call: it sees what of its own waits, and its SDK waits for people and then runs it.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Me } from '#contracts/http.ts';
import { type Approvals, HOLD_REFUNDS, startApprovals } from '#test/support/approvals.ts';
import { type Gateway, startGateway } from '#test/support/gateway.ts';
import { hasPython, NO_PYTHON, type PythonSdk, startPythonSdk } from '#test/support/sdk.ts';

import { Client, Held } from '../../../sdk/typescript/src/index.ts';

let gateway: Gateway;
let held: Approvals;
let python: PythonSdk | undefined;
beforeAll(async () => {
  gateway = await startGateway(HOLD_REFUNDS);
  held = await startApprovals({ over: gateway.world });
  if (hasPython()) python = startPythonSdk();
  else console.warn(NO_PYTHON);
}, 120_000);
afterAll(async () => {
  await python?.close();
  await held?.close();
  await gateway?.close();
});

const client = async (sub?: string) =>
  new Client(gateway.url, {
    identity: await gateway.world.identity(sub === undefined ? {} : { sub }),
  });

/** Holds a refund; gives what the SDK threw. */
async function hold(by: Client, order: string): Promise<Held> {
  const call = by.call('refund_order', { order_id: order, amount: 9 });
  const error = await call.catch((thrown: unknown) => thrown);
  if (!(error instanceof Held)) throw error;
  await held.until(error.approvalId ?? '', 'pending');
  return error;
}

async function holds(sub?: string): Promise<Me['holds']> {
  const identity = await gateway.world.identity(sub === undefined ? {} : { sub });
  const response = await fetch(`${gateway.url}/v1/me`, {
    headers: { authorization: `Bearer ${identity}` },
  });
  return ((await response.json()) as Me).holds;
}

describe('whoever asks who it is', () => {
  it('is told what of its own waits, and nothing of others', async () => {
    const { approvalId } = await hold(await client('hannah@example.com'), 'o-1');
    expect(await holds('hannah@example.com')).toEqual([
      {
        approval_id: approvalId,
        tool: 'refund_order',
        upstream: 'shop',
        state: 'pending',
        held_at: expect.stringMatching(/Z$/),
        expires_at: expect.stringMatching(/Z$/),
      },
    ]);
    expect(await holds('ivan@example.com')).toEqual([]);
    await held.step(approvalId ?? '', 'deny', 'ada');
    await expect.poll(() => holds('hannah@example.com')).toEqual([]);
  });
});

describe('an SDK', () => {
  it('waits for the person, and the call is released', async () => {
    const by = await client();
    const error = await hold(by, 'o-2');
    const waiting = by.wait(error, { timeoutMs: 20_000 });
    await held.approve(error.approvalId ?? '');
    expect(await waiting).toMatchObject({
      verdict: 'allow',
      reason: { code: 'policy.approved' },
    });
    // It was for once.
    await expect(by.wait(error, { timeoutMs: 5_000 })).rejects.toMatchObject({
      name: 'Blocked',
      code: 'approval.used',
    });
  });

  it('is told that a person said no', async () => {
    const by = await client();
    const error = await hold(by, 'o-3');
    const waiting = by.wait(error, { timeoutMs: 20_000 });
    const ends = expect(waiting).rejects.toMatchObject({
      name: 'Blocked',
      code: 'approval.denied',
    });
    await held.step(error.approvalId ?? '', 'deny', 'ada');
    await ends;
  });

  it('waits in Python, too', async ({ skip }) => {
    if (python === undefined) return skip();
    const identity = await gateway.world.identity();
    const waiting = python.ask({
      op: 'call',
      url: gateway.url,
      timeout: 10,
      wait: 20,
      identity,
      tool: 'refund_order',
      arguments: { order_id: 'o-4', amount: 9 },
    });
    await expect.poll(async () => (await holds())?.length).toBe(1);
    const [waits] = (await holds()) ?? [];
    await held.approve(waits?.approval_id ?? '');
    expect(await waiting).toEqual({ result: expect.stringMatching(/^[0-9a-f-]{36}$/) });
  });
});
