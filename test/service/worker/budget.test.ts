// Ceilings, exactly: over eight workers, where two of them count the same calls, and what costs nothing.

import { randomUUID } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { CallEnvelope } from '#contracts/call.ts';
import type { Ceiling } from '#contracts/ceilings.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import { SUBJECTS } from '#contracts/subjects.ts';

import { scopeToken } from '../../../services/decision-worker/points/state.ts';
import { startWorld, type World } from '../../support/world.ts';

const POLICY = `package countersign.policy
default decision := {"verdict": "allow"}
decision := {"verdict": "escalate"} if input.call.arguments.ask == "hold"
decision := {"verdict": "block"} if input.call.arguments.ask == "block"
decision := {"verdict": "allow", "cost": input.call.arguments.price} if input.call.arguments.price
`;
const WORKERS = 8;

let world: World;
let capability: string;
beforeAll(async () => {
  world = await startWorld({ workers: 0 });
  await world.activate(POLICY);
  for (let count = 0; count < WORKERS; count += 1) await world.startWorker();
  capability = await world.mint([{ t: 'tool_allow', tools: ['*'] }]);
  await reasons(64); // eight workers have loaded their policies
});
afterAll(() => world.close());

/** Each test has a tenant-wide window of its own, so that none counts for another. */
async function ceilings(...list: Ceiling[]): Promise<void> {
  await world.put(CONTROL_KEYS.budgets(world.tenant), { ceilings: list });
  await new Promise((resolve) => setTimeout(resolve, 500)); // eight workers hear of it
}

async function reasons(
  calls: number,
  question: Partial<CallEnvelope> & { args?: object } = {},
): Promise<Record<string, number>> {
  const asked = Array.from({ length: calls }, () =>
    world.ask({
      capability,
      deadlineMs: 10_000,
      ...question,
      args: (question.args ?? {}) as never,
    }),
  );
  const counts: Record<string, number> = {};
  for (const answer of await Promise.all(asked)) {
    const code =
      answer.kind === 'decided'
        ? answer.body.reason.code
        : answer.kind === 'refused'
          ? answer.code
          : answer.kind;
    counts[code] = (counts[code] ?? 0) + 1;
  }
  return counts;
}

/** What the counters of a scope say now. */
async function counted(
  stream: 'COUNT_MONTH' | 'COUNT_DAY' | 'COUNT_HOUR',
  scope: string,
): Promise<string[]> {
  const { jsm } = world.operator;
  const window = stream.slice('COUNT_'.length).toLowerCase() as 'month' | 'day' | 'hour';
  const filter = SUBJECTS.counters(window).replace('>', `${world.tenant}.${scope}.>`);
  const { state } = await jsm.streams.info(stream, { subjects_filter: filter });
  const values: string[] = [];
  for (const subject of Object.keys(state.subjects ?? {})) {
    const last = await jsm.streams.getMessage(stream, { last_by_subj: subject });
    values.push(last?.json<{ val: string }>().val ?? '');
  }
  return values;
}

describe('a ceiling', () => {
  it('of 100 admits exactly 100 of 300 calls that race over eight workers', async () => {
    await ceilings({ scope: 'tenant', window: 'month', calls: 100 });
    expect(await reasons(300)).toEqual({ 'policy.allowed': 100, 'budget.exhausted': 200 });
    // What was refused was given back: the counter ends at what was admitted.
    await expect.poll(() => counted('COUNT_MONTH', 'tenant')).toEqual(['100']);
    expect(await reasons(20)).toEqual({ 'budget.exhausted': 20 });
    // Far fewer messages than refusals: each costs everybody a sync of the disk.
    const { state } = await world.operator.jsm.streams.info('COUNT_MONTH');
    expect(state.last_seq).toBeLessThan(200);
  });

  it('takes one unit for a call that is repeated under its call_id, whichever worker answers', async () => {
    await ceilings({ scope: 'task', window: 'month', calls: 10 });
    const task_id = `retrying ${randomUUID()}`;
    const used = () => counted('COUNT_MONTH', scopeToken(`task\nshop-agent\n${task_id}`));
    const again = { task_id, call_id: randomUUID(), args: { order_id: 'o-1' } };
    const racing = Object.keys(await reasons(20, again));
    const expected = /^(policy\.allowed|call\.in_progress|budget\.exhausted)$/;
    expect(racing.filter((code) => !expected.test(code))).toEqual([]);
    await expect.poll(used, { timeout: 5_000 }).toEqual(['1']);
    for (let repeat = 0; repeat < 10; repeat += 1)
      expect(await reasons(1, again)).toEqual({ 'policy.allowed': 1 });
    // What a repeat reserved while it was looked up is on its way back for a moment.
    await expect.poll(used, { timeout: 5_000 }).toEqual(['1']);
    expect(await reasons(9, { task_id })).toEqual({ 'policy.allowed': 9 });
    expect(await reasons(1, { task_id })).toEqual({ 'budget.exhausted': 1 });
  });

  it('is not touched by calls that are blocked or held, nor by evaluations', async () => {
    await ceilings({ scope: 'tenant', window: 'day', calls: 3 });
    expect(await reasons(5, { args: { ask: 'block' } })).toEqual({ 'policy.blocked': 5 });
    expect(await reasons(5, { args: { ask: 'hold' } })).toEqual({ 'policy.needs_approval': 5 });
    expect(await reasons(5, { ask: 'evaluate', via: 'authzen' })).toEqual({ 'policy.allowed': 5 });
    expect(await reasons(5)).toEqual({ 'policy.allowed': 3, 'budget.exhausted': 2 });
  });

  it('of cost holds what the policy prices: 30 of 90 calls at 0.5 fit 15, and one that is too dear never does', async () => {
    await ceilings({ scope: 'tenant', window: 'month', cost: 15_000_000 });
    const priced = await reasons(90, { args: { price: 500_000 } });
    expect(priced).toEqual({ 'policy.allowed': 30, 'budget.exhausted': 60 });
    await expect
      .poll(() => counted('COUNT_MONTH', scopeToken('cost\ntenant')))
      .toEqual(['15000000']);
    expect(await reasons(3, { args: { price: 15_000_001 } })).toEqual({ 'budget.exhausted': 3 });
    expect(await reasons(5)).toEqual({ 'policy.allowed': 5 }); // what costs nothing
  });

  it('of a session or a task counts each by itself, and calls that name none together', async () => {
    await ceilings(
      { scope: 'session', window: 'day', calls: 3 },
      { scope: 'task', window: 'day', calls: 5 },
    );
    // One after the other: what another scope refused is on its way back for a moment.
    const left = async (question: Parameters<typeof reasons>[1]) => {
      const { 'policy.allowed': allowed = 0 } = await reasons(10, question);
      const token = scopeToken(`task\nshop-agent\n${question?.task_id ?? ''}`);
      const used = async () => Number((await counted('COUNT_DAY', token))[0]);
      await expect.poll(used).toBe((spent[token] = (spent[token] ?? 0) + allowed));
      return allowed;
    };
    const spent: Record<string, number> = {};
    const id = randomUUID(); // another try has sessions and tasks of its own
    expect([
      await left({ session_id: `${id} 1`, task_id: `${id} a` }),
      await left({ session_id: `${id} 2`, task_id: `${id} a` }),
      await left({ session_id: `${id} 2`, task_id: `${id} b` }),
    ]).toEqual([3, 2, 1]);
    expect([await left({}), await left({})]).toEqual([3, 0]);
  });

  it('that one of several scopes refuses takes nothing from the others', async () => {
    await ceilings(
      { scope: 'tenant', window: 'hour', calls: 1_000 },
      { scope: 'task', window: 'hour', calls: 2, cost: 9 },
    );
    const task = { task_id: 'several' };
    expect(await reasons(40, { ...task, args: { price: 3 } })).toEqual({
      'policy.allowed': 2,
      'budget.exhausted': 38,
    });
    await expect.poll(() => counted('COUNT_HOUR', 'tenant'), { timeout: 5_000 }).toEqual(['2']);
    const cost = scopeToken('cost\ntask\nshop-agent\nseveral');
    await expect.poll(() => counted('COUNT_HOUR', cost), { timeout: 5_000 }).toEqual(['6']);
  });

  it('for one agent beside one for each agent counts a call once, and the lower one holds', async () => {
    await ceilings(
      { scope: 'agent', window: 'hour', calls: 10 },
      { scope: 'agent', agent: 'shop-agent', window: 'hour', calls: 4 },
    );
    expect(await reasons(12)).toEqual({ 'policy.allowed': 4, 'budget.exhausted': 8 });
    await expect.poll(() => counted('COUNT_HOUR', scopeToken('agent\nshop-agent'))).toEqual(['4']);
  });
});
