// The breaker for agents that run away: opt-in per class, over all workers, and an event in the tenant's chain.

import { afterAll, beforeAll, expect, it } from 'vitest';

import type { Budgets } from '#contracts/ceilings.ts';
import { CONTROL_KEYS, type ControlLeaf } from '#contracts/control.ts';
import { type Revision, revisionOf } from '#contracts/ids.ts';
import { decodeRecords } from '#contracts/record.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import { newHeaders } from '#host/nats.ts';

import { windowAt } from '../../../services/decision-worker/checks/windows.ts';
import { scopeToken } from '../../../services/decision-worker/points/state.ts';
import { ALLOW_ALL, startWorld, type World } from '../../support/world.ts';

let world: World;
let capability: string;
beforeAll(async () => {
  world = await startWorld({ workers: 2 });
  await world.activate(ALLOW_ALL);
  capability = await world.mint([{ t: 'tool_allow', tools: ['*'] }]);
});
afterAll(() => world.close());

const MINUTE_MS = 60_000;

async function put(budgets: Budgets): Promise<Revision> {
  const sequence = await world.put(CONTROL_KEYS.budgets(world.tenant), budgets);
  return revisionOf(await world.operator.epoch('CONTROL'), sequence);
}

async function reasons(
  calls: number,
  revision: Revision,
  args: (index: number) => object = () => ({}),
): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  const answers = Array.from({ length: calls }, (_, index) =>
    world.ask({ capability, args: args(index) as never, min_revision: revision }),
  );
  for (const answer of await Promise.all(answers)) {
    const code = answer.kind === 'decided' ? answer.body.reason.code : answer.kind;
    counts[code] = (counts[code] ?? 0) + 1;
  }
  return counts;
}

async function alerts(): Promise<ControlLeaf[]> {
  const leaves: ControlLeaf[] = [];
  const { state } = await world.operator.jsm.streams.info('CONTROL');
  for (let seq = state.first_seq; seq <= state.last_seq && state.messages > 0; seq += 1) {
    const message = await world.operator.jsm.streams.getMessage('CONTROL', { seq });
    if (message?.subject !== SUBJECTS.control(world.tenant, 'alert')) continue;
    for (const { leaf } of decodeRecords(message.string())) leaves.push(JSON.parse(leaf) as never);
  }
  return leaves;
}

/** A minute must not end within a test: its counts would begin anew. */
async function early(): Promise<void> {
  const left = MINUTE_MS - (Date.now() % MINUTE_MS);
  if (left < 5_000) await new Promise((resolve) => setTimeout(resolve, left));
}

it('an agent without a rule for its class may repeat itself', async () => {
  const revision = await put({ ceilings: [], runaway: [{ class: 'other', repeats: 1 }] });
  expect(await reasons(10, revision)).toEqual({ 'policy.allowed': 10 });
});

it('the same call again and again is stopped, other calls go on, and the chain is told once', async () => {
  await early();
  const revision = await put({ ceilings: [], runaway: [{ class: 'shop', repeats: 5 }] });
  expect(await reasons(12, revision)).toEqual({ 'policy.allowed': 5, 'budget.runaway': 7 });
  const others = await reasons(12, revision, (index) => ({ index }));
  expect(others).toEqual({ 'policy.allowed': 12 });
  await expect.poll(alerts).toEqual([
    {
      action: 'runaway',
      at: expect.any(Number),
      by: 'system:decision-worker',
      commitments: { value: expect.stringMatching(/^sha256:/) },
      id: expect.any(String),
      kind: 'control.alert',
      reason: 'repeats: more than 5 calls in a minute',
      target: 'shop-agent',
      tenant: 'acme',
      v: 1,
    },
  ]);
});

it('far more calls than the agent usually makes are stopped, from the least number on', async () => {
  await early();
  const { start } = windowAt('minute', Date.now(), 'UTC');
  const counter = (back: number) =>
    SUBJECTS.counter(
      'minute',
      world.tenant,
      scopeToken('agent\nshop-agent'),
      start - back * MINUTE_MS,
    );
  // It called 4 and 2 times in two of the minutes before: three calls a minute are its habit.
  const headers = (by: number) => {
    const made = newHeaders();
    made.set('Nats-Incr', `+${by}`);
    return made;
  };
  await world.operator.js.publish(counter(2), '', { headers: headers(4) });
  await world.operator.js.publish(counter(7), '', { headers: headers(2) });
  const rule = { class: 'shop', times_habit: 4, at_least: 10 };
  const revision = await put({ ceilings: [], runaway: [rule] });
  const distinct = (index: number) => ({ index });
  expect(await reasons(20, revision, distinct)).toEqual({
    'policy.allowed': 12,
    'budget.runaway': 8,
  });
});
