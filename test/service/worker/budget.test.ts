// Ceilings, exactly: over eight workers, where two of them count the same calls, and what costs nothing.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { CallEnvelope } from '#contracts/call.ts';
import { type Ceiling, CONTROL_KEYS } from '#contracts/control.ts';
import { SUBJECTS } from '#contracts/subjects.ts';

import { scopeToken } from '../../../services/decision-worker/points/state.ts';
import { startWorld, type World } from '../../support/world.ts';

const POLICY = `package countersign.policy
default decision := {"verdict": "allow"}
decision := {"verdict": "escalate"} if input.call.arguments.ask == "hold"
decision := {"verdict": "block"} if input.call.arguments.ask == "block"
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
async function counted(stream: 'COUNT_MONTH' | 'COUNT_HOUR', scope: string): Promise<string[]> {
  const { jsm } = world.operator;
  const window = stream === 'COUNT_MONTH' ? 'month' : 'hour';
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

  it('is not touched by calls that are blocked or held, nor by evaluations', async () => {
    await ceilings({ scope: 'tenant', window: 'day', calls: 3 });
    expect(await reasons(5, { args: { ask: 'block' } })).toEqual({ 'policy.blocked': 5 });
    expect(await reasons(5, { args: { ask: 'hold' } })).toEqual({ 'policy.needs_approval': 5 });
    expect(await reasons(5, { ask: 'evaluate', via: 'authzen' })).toEqual({ 'policy.allowed': 5 });
    expect(await reasons(5)).toEqual({ 'policy.allowed': 3, 'budget.exhausted': 2 });
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
