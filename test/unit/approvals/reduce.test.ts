// The life of a held call, searched exhaustively: every order of twelve steps of people, time, workers and operators.

import { describe, expect, it } from 'vitest';

import { APPROVAL_STATES, type ApprovalSummary, heldAs, type Plan } from '#contracts/approval.ts';
import { asApprovalId, asDecisionId, type TenantId, uuid7 } from '#contracts/ids.ts';

import {
  type Approval,
  heldCall,
  progressOf,
  reduce,
  type Step,
  SYSTEM,
  wakeAt,
} from '../../../services/approval-escalation/reduce.ts';

const HELD_AT = 1_000_000;
const TTL_MS = 600_000;
const id = asApprovalId(uuid7(HELD_AT, new Uint8Array(10)));
const decision = asDecisionId(id);
const summary: ApprovalSummary = {
  approval_id: id,
  tenant: 'acme' as TenantId,
  tool: 'pay',
  upstream: '',
  agent: 'bot',
  agent_class: '',
  person: 'alice',
  effect: '',
  risk: 'medium',
  policy_reason: '',
  labels: [],
  held_at: HELD_AT,
  expires_at: HELD_AT + TTL_MS,
};
const stage = (name: string, quorum = 1) => ({ name, quorum, approvers: [] });
const plan = (stages: Plan['stages'], tiers?: Plan['tiers']): Plan => ({
  route: 'default',
  stages,
  tiers: tiers ?? [{ name: 'team', after_s: 0, channels: [], remind_s: 0 }],
  step_up_s: 0,
});

const PLANS: readonly (readonly [string, Plan])[] = [
  ['one of all', plan([stage('one')])],
  ['two of three', plan([stage('two', 2)])],
  ['two stages', plan([stage('team'), stage('finance')])],
];
const TIERS: Plan['tiers'] = [
  { name: 'team', after_s: 0, channels: ['chat'], remind_s: 120 },
  { name: 'on call', after_s: 300, channels: ['pager'], remind_s: 0 },
];

const actor = (by: string) => ({ by, via: 'api' as const });
const STEPS: readonly Step[] = [
  ...['ann', 'ben', 'cat'].map((by) => ({ is: 'approve' as const, ...actor(by) })),
  { is: 'deny', ...actor('ann'), reason: 'no' },
  { is: 'edit', ...actor('ben'), arguments: '{}', call: 'other', reason: '' },
  { is: 'cancel', ...actor('ops'), reason: '' },
  { is: 'acknowledge', ...actor('ben') },
  { is: 'supersede' },
  { is: 'strand' },
  { is: 'strand', unreached: true },
  { is: 'look' },
];

/** One world of the search: the approval, the clock, what a worker has read, and what the log has let through. */
interface World {
  readonly approval: Approval;
  readonly at: number;
  /** A worker saw that it may be released and has not recorded it yet. */
  readonly read: number;
  readonly released: number;
  readonly counted: number;
  readonly everApproved: boolean;
}

const LATER_MS = 350_000;

function* next(world: World): Generator<World> {
  const { approval, at } = world;
  for (const step of STEPS) {
    const reduced = reduce(approval, step, at);
    if (reduced.is !== 'changed') continue;
    const everApproved = world.everApproved || reduced.next.state === 'approved';
    yield { ...world, approval: reduced.next, everApproved };
  }
  yield { ...world, at: at + LATER_MS };
  const entry = { ...approval, expires_at: approval.expiresAt };
  if (world.read < 2 && heldAs(entry, at) === 'approved') yield { ...world, read: world.read + 1 };
  if (world.read > 0) {
    // Only the first message of the subject is stored; whoever comes second is refused.
    yield { ...world, read: world.read - 1, released: Math.max(world.released, 1) };
  }
  if (world.released > world.counted) {
    const use: Step = { is: 'use', k: 1, decisionId: decision };
    const reduced = reduce(approval, use, at);
    if (reduced.is === 'changed') {
      yield { ...world, approval: reduced.next, counted: world.counted + 1 };
    }
  }
}

/** What is wrong with a way from one world to the next; undefined when nothing is. */
function wrong(before: World, after: World): string | undefined {
  const { approval } = after;
  const { progress, state } = approval;
  if (after.released > approval.uses) return 'released more often than it has uses';
  if (after.released > 0 && !after.everApproved) return 'released without ever being approved';
  if (approval.step !== before.approval.step && approval.step !== before.approval.step + 1)
    return 'a step has no number of its own';
  const open = before.approval.state === 'pending' || before.approval.state === 'approved';
  if (!open && state !== before.approval.state) return 'an end did not last';
  const spent = before.approval.used >= before.approval.uses;
  if (spent && open && state !== before.approval.state && state !== 'expired')
    return 'what was released ended by something else than its time';
  const people = new Set(progress.votes.map(({ by }) => by));
  if (people.size !== progress.votes.length) return 'one person counts twice';
  const enough = progress.plan.stages.every(
    ({ quorum }, index) => progress.votes.filter((vote) => vote.stage === index).length >= quorum,
  );
  if (state === 'approved' && !enough) return 'approved without its quorum';
  if (state === 'pending' && enough) return 'its quorum did not approve it';
  const silent = state === 'expired' || state === 'superseded' || state === 'no_channel';
  if (silent && progress.endedBy !== SYSTEM.by) return 'silence is told as a person';
  const heard = progress.votes.length > 0 || progress.acknowledgedBy !== '';
  const unreached = state === 'no_channel' && progress.reason === 'no channel could be reached';
  if (unreached && (heard || progress.told.length < progress.plan.tiers.length))
    return 'unreached, though somebody was heard of or will still be asked';
  if (state === 'denied' && progress.endedBy !== 'ann') return 'a no of nobody';
  if (state === 'edited' && (progress.endedBy !== 'ben' || progress.edit !== '{}'))
    return 'changed by nobody, or into nothing';
  return undefined;
}

function search(
  first: Approval,
  depth: number,
): { readonly worlds: number; readonly fault: string } {
  const start: World = {
    approval: first,
    at: HELD_AT,
    read: 0,
    released: 0,
    counted: 0,
    everApproved: false,
  };
  const seen = new Set([JSON.stringify(start)]);
  let edge: World[] = [start];
  for (let steps = 0; steps < depth; steps++) {
    const found: World[] = [];
    for (const world of edge) {
      for (const after of next(world)) {
        const fault = wrong(world, after);
        if (fault !== undefined) {
          return { worlds: seen.size, fault: `${fault}: ${JSON.stringify(after)}` };
        }
        if (after.at > HELD_AT + 2 * TTL_MS) continue;
        const key = JSON.stringify(after);
        if (seen.has(key)) continue;
        seen.add(key);
        found.push(after);
      }
    }
    edge = found;
  }
  return { worlds: seen.size, fault: '' };
}

describe('every order of twelve steps', () => {
  it.each(PLANS)('%s', (_, chosen) => {
    const { worlds, fault } = search(heldCall(summary, chosen), 12);
    expect(fault).toBe('');
    expect(worlds).toBeGreaterThan(200);
  });
});

/** The approval after steps, each with its time in seconds after the hold. */
const after = (first: Approval, steps: readonly (readonly [Step, number])[]): Approval =>
  steps.reduce((approval, [step, seconds]) => {
    const reduced = reduce(approval, step, HELD_AT + seconds * 1_000);
    return reduced.is === 'changed' ? reduced.next : approval;
  }, first);
const LOOK: Step = { is: 'look' };
const approve = (by: string): Step => ({ is: 'approve', ...actor(by) });

describe('tiers', () => {
  const first = heldCall(summary, plan([stage('one')], TIERS));
  const told = (approval: Approval) => approval.progress.told.map((at) => (at - HELD_AT) / 1_000);

  it('are told in their time, and the first at once', () => {
    expect(wakeAt(first)).toBe(HELD_AT);
    const reached = after(first, [
      [LOOK, 0],
      [LOOK, 300],
    ]);
    expect(told(reached)).toEqual([0, 300]);
  });

  it('are reminded while nobody looks at it', () => {
    const once = after(first, [[LOOK, 0]]);
    expect(wakeAt(once)).toBe(HELD_AT + 120_000);
    const reminded = reduce(once, LOOK, HELD_AT + 120_000);
    expect(reminded).toMatchObject({ is: 'changed', happened: { event: 'reminded', tier: 0 } });
  });

  it('are not told any more once somebody looks at it, and it still ends', () => {
    const looked = after(first, [
      [LOOK, 0],
      [{ is: 'acknowledge', ...actor('ben') }, 10],
    ]);
    expect(wakeAt(looked)).toBe(HELD_AT + TTL_MS);
    expect(reduce(looked, LOOK, HELD_AT + 400_000).is).toBe('nothing');
    expect(after(looked, [[LOOK, 600]]).state).toBe('expired');
  });

  it('are all told after a time without us, one after the other', () => {
    const late = after(first, [
      [LOOK, 400],
      [LOOK, 400],
      [LOOK, 400],
    ]);
    expect(told(late)).toEqual([400, 400]);
  });
});

describe('a grant', () => {
  const terms = { uses: 3, for_s: 60, bounds: [] };
  const granting = (by: string, grant = terms): Step => ({ is: 'approve', ...actor(by), grant });
  const two = heldCall(summary, plan([stage('two', 2)]));

  it.each<[string, readonly Step[], string, object | undefined]>([
    ['is of the first yes', [granting('ann'), approve('ben')], 'approved', terms],
    ['is said by both alike', [granting('ann'), granting('ben')], 'approved', terms],
    ['is not added later', [approve('ann'), granting('ben')], 'pending', undefined],
    [
      'is not changed later',
      [granting('ann'), granting('ben', { ...terms, uses: 4 })],
      'pending',
      terms,
    ],
  ])('%s', (_, steps, state, grant) => {
    const end = after(
      two,
      steps.map((step, index) => [step, index + 1]),
    );
    expect([end.state, end.progress.grant, end.uses]).toEqual([state, grant, 1]);
  });
});

describe('votes', () => {
  const two = heldCall(summary, plan([stage('two', 2)]));
  const stages = heldCall(summary, plan([stage('team'), stage('finance')]));

  it('of the same person count once, however often they come', () => {
    const once = after(two, [
      [approve('ann'), 1],
      [approve('ann'), 2],
    ]);
    expect([once.state, progressOf(once)]).toEqual([
      'pending',
      { stage: 'two', votes: 1, needed: 2 },
    ]);
    expect(after(once, [[approve('ben'), 3]]).state).toBe('approved');
  });

  it('of one stage do not count in the next', () => {
    const team = after(stages, [[approve('ann'), 1]]);
    expect(reduce(team, approve('ann'), HELD_AT + 2_000).is).toBe('voted');
    expect(after(team, [[approve('ben'), 3]]).state).toBe('approved');
  });

  it('come too late at the moment of the end, whether somebody noted it or not', () => {
    expect(reduce(two, approve('ann'), HELD_AT + TTL_MS).is).toBe('ended');
  });

  it.each(APPROVAL_STATES.filter((state) => state !== 'pending' && state !== 'approved'))(
    'change nothing of %s',
    (state) => {
      expect(reduce({ ...two, state }, approve('ann'), HELD_AT + 1).is).toBe('ended');
    },
  );
});
