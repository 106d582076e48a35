// Who may decide a held call, and how it ends when nobody does: over a real broker and database, two services at once.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { CONTROL_KEYS } from '#contracts/control.ts';
import type { HeldReply } from '#contracts/held.ts';
import { asApprovalId, PLATFORM } from '#contracts/ids.ts';
import { type Approvals, eventually, startApprovals, told } from '#test/support/approvals.ts';

import type { Progress } from '../../../services/approval-escalation/reduce.ts';
import { contentOf, eventContent } from '../../../services/approval-escalation/store.ts';

/** Each risk of an amount has a route of its own. */
const POLICY = `package countersign.policy
default decision := {"verdict": "block"}
decision := {"verdict": "escalate", "approval": object.union({"effect": $"Pay {input.call.arguments.amount}.", "ttl": ttl}, more)} if input.call.tool == "refund_order"
default more := {}
more := {"route": "pair"} if input.call.arguments.amount == 2
more := {"route": "stages"} if input.call.arguments.amount == 3
more := {"route": "careful"} if input.call.arguments.amount == 4
more := {"route": "missing"} if input.call.arguments.amount == 5
more := {"route": "crowd"} if input.call.arguments.amount == 6
more := {"route": "one", "quorum": 3} if input.call.arguments.amount == 7
more := {"route": "chain"} if input.call.arguments.amount == 8
default ttl := 600
ttl := 30 if input.call.arguments.amount == 30
`;

let held: Approvals;
beforeAll(async () => {
  held = await startApprovals({ services: 2 });
  const { world } = held;
  await held.person('boss', { roles: ['approver'] });
  await held.person('viewer', { roles: ['viewer'] });
  await held.person('elsewhere', { tenants: ['other' as never] });
  await held.person('alice', {
    identities: [{ issuer: 'idp', subject: 'alice@example.com' }],
  });
  await world.put(CONTROL_KEYS.routes(world.tenant), {
    routes: [
      { name: 'pair', stages: [{ quorum: 2 }] },
      { name: 'stages', stages: [{ approvers: ['ada', 'grace'] }, { approvers: ['boss', 'ada'] }] },
      { name: 'careful', step_up_s: 300 },
      { name: 'crowd', stages: [{ quorum: 9 }] },
      { name: 'one', stages: [{ approvers: ['ada', 'grace', 'boss'] }] },
      {
        name: 'chain',
        tiers: [
          { name: 'team', remind_s: 1 },
          { name: 'on call', after_s: 2, channels: ['pager'] },
        ],
      },
      { name: 'rest', match: {} },
    ],
  });
  await world.activate(POLICY);
}, 120_000);
afterAll(async () => held?.close());

let number = 0;
/** Holds a fresh call; gives its approval once it is stored. */
async function hold(amount: number, state: 'pending' | 'no_channel' = 'pending') {
  const call = { tool: 'refund_order', args: { amount, order_id: `ord_${++number}` } };
  const [, , id] = told(await held.world.ask(call));
  await held.until(id, state);
  return { call, id };
}

const outcome = (reply: HeldReply<'decide'>) => (reply.ok ? reply.value.state : reply.fault);
const approveAs = async (id: string, by: string) => outcome(await held.approve(id, by));

describe('a person', () => {
  it.each([
    ['an approver', 'ada', 'approved'],
    ['somebody who only looks', 'viewer', 'not_approver'],
    ['an approver of another tenant', 'elsewhere', 'not_approver'],
    ['somebody who is not registered', 'nobody', 'not_approver'],
    ['the person whom the agent acts for, by a linked identity', 'alice', 'self'],
  ])('%s', async (_, by, expected) => {
    const { id } = await hold(1);
    expect(await approveAs(id, by)).toBe(expected);
  });

  it('who was taken out of the platform a moment ago cannot decide any more', async () => {
    await held.person('leaver');
    const { id } = await hold(1);
    await held.world.put(CONTROL_KEYS.operator('leaver'), null);
    await eventually(async () =>
      (await approveAs(id, 'leaver')) === 'not_approver' ? true : undefined,
    );
    expect((await held.entry(id))?.state).not.toBe('approved');
  });

  it('saying the same twice is one answer', async () => {
    const { id } = await hold(1);
    expect(await approveAs(id, 'ada')).toBe('approved');
    expect(await approveAs(id, 'ada')).toBe('approved');
    expect(await approveAs(id, 'grace')).toBe('ended');
    expect(outcome(await held.step(id, 'deny', 'grace'))).toBe('ended');
  });

  it('has to have seen what it is now', async () => {
    const { id } = await hold(1);
    const approval = asApprovalId(id);
    const by = { id: 'ada', stepped_up_at: 0 };
    for (const shown of ['', `sha256:${'0'.repeat(64)}`]) {
      const reply = await held.ask<'decide'>({
        ask: 'decide',
        approval,
        step: 'approve',
        by,
        via: 'slack',
        shown,
        reason: '',
      });
      expect(outcome(reply)).toBe('incomplete');
    }
  });

  it('needs a fresh second factor where the route says so', async () => {
    const { id } = await hold(4);
    expect(await approveAs(id, 'ada')).toBe('step_up');
    const shown = await eventually(async () => {
      const reply = await held.ask<'show'>({ ask: 'show', approval: asApprovalId(id) });
      return reply.ok && reply.value.shown !== '' ? reply.value.shown : undefined;
    });
    const with_ = async (stepped_up_at: number) =>
      outcome(
        await held.ask<'decide'>({
          ask: 'decide',
          approval: asApprovalId(id),
          step: 'approve',
          by: { id: 'ada', stepped_up_at },
          via: 'page',
          shown,
          reason: '',
        }),
      );
    expect(await with_(Date.now() - 301_000)).toBe('step_up');
    expect(await with_(Date.now())).toBe('approved');
  });

  it('is the only one who decides: other processes cannot ask for it', async () => {
    const { id } = await hold(1);
    const reply = await held.ask<'decide'>(
      {
        ask: 'decide',
        approval: asApprovalId(id),
        step: 'deny',
        by: { id: 'ada', stepped_up_at: 0 },
        via: 'agent',
        shown: '',
        reason: '',
      },
      'ingress',
    );
    expect(outcome(reply)).toBe('malformed');
  });
});

describe('several people', () => {
  it('two of all: one alone is not enough, and nobody counts twice', async () => {
    const { id } = await hold(2);
    expect(await approveAs(id, 'ada')).toBe('pending');
    expect(await approveAs(id, 'ada')).toBe('pending');
    expect(await approveAs(id, 'grace')).toBe('approved');
  });

  it('one no is a no', async () => {
    const { id } = await hold(2);
    expect(await approveAs(id, 'ada')).toBe('pending');
    expect(outcome(await held.step(id, 'deny', 'grace'))).toBe('denied');
    expect(await approveAs(id, 'boss')).toBe('ended');
  });

  it('stages go one after the other, each by another person', async () => {
    const { id } = await hold(3);
    expect(await approveAs(id, 'boss')).toBe('not_approver');
    expect(await approveAs(id, 'ada')).toBe('pending');
    expect(await approveAs(id, 'ada')).toBe('voted');
    expect(await approveAs(id, 'boss')).toBe('approved');
  });

  it('a quorum of the policy is not lowered by a route', async () => {
    const { id } = await hold(7);
    expect(await approveAs(id, 'ada')).toBe('pending');
    expect(await approveAs(id, 'grace')).toBe('pending');
    expect(await approveAs(id, 'boss')).toBe('approved');
  });

  it('votes of many at once are all counted (races of two services)', async () => {
    for (let round = 0; round < 10; round++) {
      const { id } = await hold(7);
      const answers = await Promise.all(['ada', 'grace', 'boss'].map((by) => approveAs(id, by)));
      expect(answers.filter((answer) => answer === 'approved').length).toBe(1);
      expect((await held.until(id, 'approved')).state).toBe('approved');
    }
  });
});

const place = (id: string) => ({ tenant: held.world.tenant, id });
async function progressOf(id: string): Promise<Progress> {
  const [row] = await held.query<{ progress: Buffer }>(
    'select progress from approvals where id = $1',
    [id],
  );
  return JSON.parse(held.atRest.open(row!.progress, contentOf(place(id), 'progress'))) as Progress;
}

describe('tiers', () => {
  /** Events so far, each with the tier that it tells. */
  const events = async (id: string): Promise<string[]> => {
    const rows = await held.query<{ step: number; event: string; payload: Buffer }>(
      'select step, event, payload from approval_events where id = $1 order by step',
      [id],
    );
    return rows.map(({ step, event, payload }) => {
      const { tier } = (
        JSON.parse(held.atRest.open(payload, eventContent(place(id), step))) as {
          sections: { value: { tier: { name: string } | null } };
        }
      ).sections.value;
      return tier === null ? event : `${event} ${tier.name}`;
    });
  };

  it('are told in their time, with reminders between, once each by two services', async () => {
    const { id } = await hold(8);
    await eventually(async () =>
      (await events(id)).includes('reached on call') ? true : undefined,
    );
    const told = await events(id);
    expect(told.slice(0, 3)).toEqual(['held', 'reached team', 'reminded team']);
    expect(told.filter((event) => event === 'reached on call')).toHaveLength(1);
  });

  it('end with the one who looks at it: only its end is left to come', async () => {
    const { id } = await hold(8);
    expect(outcome(await held.step(id, 'acknowledge', 'boss'))).toBe('pending');
    const [row] = await held.query<{ left: boolean }>(
      'select wake_at = expires_at as left from approvals where id = $1',
      [id],
    );
    expect([row?.left, (await progressOf(id)).acknowledgedBy]).toEqual([true, 'boss']);
    expect(await approveAs(id, 'ada')).toBe('approved');
  });
});

describe('an end that nobody decided', () => {
  it.each([
    ['a route that is not there', 5],
    ['a route that more people have to agree to than there are', 6],
  ])('%s: nobody can approve it, and that is said', async (_, amount) => {
    const { id } = await hold(amount, 'no_channel');
    expect(await held.entry(id)).toMatchObject({ state: 'no_channel', note: '' });
  });

  it('expiry is noted within a second, and the next repeat asks anew', async () => {
    const { call, id } = await hold(30);
    // Its time is moved in the database, which is the truth about it.
    const soon = Date.now() + 500;
    await held.query('update approvals set expires_at = $2, wake_at = $2 where id = $1', [
      id,
      soon,
    ]);
    await held.until(id, 'expired');
    expect(Date.now() - soon).toBeLessThan(5_000);
    expect((await progressOf(id)).endedBy).toBe('system:approval-escalation');
    const [verdict, , again] = told(await held.world.ask(call));
    expect([verdict, again === id]).toEqual(['escalate', false]);
    await held.until(again, 'pending');
  });

  it('a kill switch cancels what it stops, and nothing else', async () => {
    const { id } = await hold(1);
    const { world } = held;
    await world.put(CONTROL_KEYS.switch(world.tenant, 'agent', 'another-agent'), {
      scope: 'agent',
    });
    await world.put(CONTROL_KEYS.switch(world.tenant, 'tool', 'refund_order'), { scope: 'tool' });
    await held.until(id, 'cancelled');
    await world.put(CONTROL_KEYS.switch(world.tenant, 'tool', 'refund_order'), null);
    const other = await hold(1);
    await world.put(CONTROL_KEYS.switch(world.tenant, 'agent', 'more-agents'), { scope: 'agent' });
    await held.approve(other.id);
    await held.until(other.id, 'approved');
  });

  it('another policy supersedes what waits, and the next retry is a hold of its own', async () => {
    const { call, id } = await hold(1);
    const approved = await hold(1);
    await held.approve(approved.id);
    await held.until(approved.id, 'approved');
    await held.world.activate(`${POLICY}\n# another one`);
    await held.until(id, 'superseded');
    await held.until(approved.id, 'superseded');
    await held.world.activate(POLICY.replace('"Pay', '"Now pay'));
    const again = await eventually(async () => {
      const [verdict, , next] = told(await held.world.ask(call));
      return verdict === 'escalate' && next !== id ? next : undefined;
    });
    await held.until(again, 'pending');
    await held.world.activate(POLICY);
    await eventually(async () => {
      const [verdict, , next] = told(await held.world.ask(approved.call));
      return verdict === 'escalate' && next !== approved.id ? true : undefined;
    });
  });

  it('another floor does too', async () => {
    const { id } = await hold(1);
    await held.world.activate(
      `package countersign.floor\ndecision := {"verdict": "allow"} # again\n`,
      { tenant: PLATFORM },
    );
    await held.until(id, 'superseded');
  });
});
