// One race for a held call: thirty-two who approve, deny, edit, cancel, supersede, let it expire or use it, any of whom may die
// at any of their steps. At most one use is released, and what is told in the end is what is stored.

import { randomBytes } from 'node:crypto';

import { APPROVAL_KEYS, openEntry } from '#contracts/approval.ts';
import { asApprovalId, asDecisionId, type TenantId, uuid7 } from '#contracts/ids.ts';
import { sealPayload } from '#contracts/record.ts';
import type { KV } from '#host/nats.ts';
import { NotFirst, type PublishRecord } from '#host/publish.ts';

import { eventOf } from '../../services/approval-escalation/event.ts';
import type { Hold } from '../../services/approval-escalation/hold.ts';
import { heldCall, type Step, SYSTEM } from '../../services/approval-escalation/reduce.ts';
import { type StepParts, take } from '../../services/approval-escalation/steps.ts';
import { findByHandle, takeHold } from '../../services/approval-escalation/store.ts';
import { createTell, type TellParts } from '../../services/approval-escalation/tell.ts';
import type { ApprovalPoints } from '../../services/decision-worker/checks/approval.ts';
import type { Recorder } from '../../services/decision-worker/recorder.ts';

/** What races are run on: the service whole, and the side of the worker. */
export interface RaceParts {
  readonly whole: StepParts & { readonly telling: TellParts };
  readonly recorder: Recorder;
  readonly entryOf: ApprovalPoints['entry'];
  /** 0 to `below` - 1. */
  readonly roll: (below: number) => number;
}

export interface Raced {
  readonly released: number;
  /** What is wrong after it; '' when nothing is. */
  readonly fault: string;
}

const TTL_MS = 600_000;
const tenant = 'acme' as TenantId;

class Crash extends Error {}

/** Where a racer dies: after the commit, after each event, before each entry, before it is marked as told. */
const CRASHES = ['commit', 'event', 'call', 'id', 'told'] as const;

/** The same service, which dies at one of its steps. */
function dying(whole: RaceParts['whole'], at: (typeof CRASHES)[number]): StepParts {
  const die = (here: typeof at) => {
    if (here === at) throw new Crash();
  };
  const publish: PublishRecord = async (...args) => {
    const stored = await whole.telling.publish(...args);
    die('event');
    return stored;
  };
  const { entries } = whole.telling;
  let marked = false;
  const before =
    <Args extends unknown[], Result>(write: (key: string, ...args: Args) => Promise<Result>) =>
    async (key: string, ...args: Args) => {
      die(key.startsWith('call.') ? 'call' : 'id');
      const revision = await write(key, ...args);
      marked ||= key.startsWith('id.');
      if (marked) die('told');
      return revision;
    };
  const kv = {
    get: (key: string) => entries.get(key),
    create: before((key: string, value: string) => entries.create(key, value)),
    update: before((key: string, value: string, revision: number) =>
      entries.update(key, value, revision),
    ),
  } as unknown as KV;
  return {
    ...whole,
    tell: createTell({ ...whole.telling, publish, entries: kv }),
    afterCommit: async () => die('commit'),
  };
}

function freshHold(): Hold {
  const at = Date.now();
  const id = asApprovalId(uuid7(at, randomBytes(10)));
  return {
    tenant,
    id,
    binding: randomBytes(20).toString('hex'),
    arguments: {},
    asked: {},
    summary: {
      approval_id: id,
      tenant,
      tool: 'pay',
      upstream: '',
      agent: 'bot',
      agent_class: '',
      person: '',
      effect: '',
      risk: 'low',
      policy_reason: '',
      labels: [],
      held_at: at,
      expires_at: at + TTL_MS,
    },
    facts: {
      decisionId: asDecisionId(id),
      principal: 'p',
      requester: { issuer: '', subjects: [] },
      policies: [],
      policyRevision: '',
      factsRevision: '',
      actors: [],
      workflow: '',
      session: '',
      task: '',
    },
    lines: { leaf: '{}', payload: '{}' },
  };
}

const actor = (by: string) => ({ by, via: 'api' as const });
/** Sixteen who decide, sixteen who use. */
const DECIDERS: readonly Step[] = [
  ...['ada', 'grace', 'boss'].flatMap((by) => {
    const approve = { is: 'approve', ...actor(by) } as const;
    return [approve, approve, approve];
  }),
  { is: 'deny', ...actor('ada'), reason: 'no' },
  { is: 'edit', ...actor('grace'), arguments: '{}', call: 'other', reason: '' },
  { is: 'cancel', ...actor('ops'), reason: '' },
  { is: 'cancel', ...SYSTEM, reason: '' },
  { is: 'supersede' },
  { is: 'look' },
  { is: 'look' },
];
const USERS = 16;

/** One in ten of those who end a call does so at once; the others, and all who use it, wait for the first yes. */
const EARLY = 10;

/** Runs one. @throws when a server fails; what goes wrong between the racers is its fault instead */
export async function race(parts: RaceParts): Promise<Raced> {
  const { whole } = parts;
  const hold = await held(whole);
  const place = { tenant, id: hold.id };
  let open: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => (open = resolve));
  const approving = DECIDERS.filter(({ is }) => is === 'approve').map(async (step) => {
    if (await decides(parts, hold, step, gate)) open();
  });
  void Promise.allSettled(approving).then(() => open());
  const ending = DECIDERS.filter(({ is }) => is !== 'approve').map((step) =>
    decides(parts, hold, step, gate),
  );
  const using = Array.from({ length: USERS }, () => uses(parts, hold, gate));
  const [released] = await Promise.all([countOf(using), ...approving, ...ending]);
  await whole.tell(place); // what the next sweep does
  return { released, fault: await wrong(whole, hold, released) };
}

const countOf = async (those: readonly Promise<boolean>[]): Promise<number> =>
  (await Promise.all(those)).filter(Boolean).length;

async function held(whole: RaceParts['whole']): Promise<Hold> {
  const hold = freshHold();
  const approval = heldCall(hold.summary, {
    route: 'default',
    stages: [{ name: 'one', quorum: 1, approvers: [] }],
    tiers: [{ name: 'one', after_s: 0, channels: [], remind_s: 0 }],
    step_up_s: 0,
  });
  const place = { tenant, id: hold.id };
  const happened = { event: 'held', actor: SYSTEM } as const;
  const { decisionId } = hold.facts;
  const event = eventOf(approval, { ...place, decisionId }, happened, Date.now());
  await takeHold(whole, hold, { approval, event });
  await whole.tell(place);
  return hold;
}

/** One who decides; true when it was the one who did. Often dies at it. Who only looks has a clock that is past the end. */
async function decides(
  { whole, roll }: RaceParts,
  hold: Hold,
  step: Step,
  gate: Promise<unknown>,
): Promise<boolean> {
  if (step.is !== 'approve' && roll(EARLY) > 0) await gate;
  const crash = CRASHES[roll(CRASHES.length * 3)];
  const parts = crash === undefined ? whole : dying(whole, crash);
  const now = step.is === 'look' ? () => hold.summary.expires_at : Date.now;
  return take({ ...parts, now }, { tenant, id: hold.id }, step).then(
    (took) => took !== undefined && 'became' in took && took.became === 'changed',
    (error: unknown) => {
      if (error instanceof Crash) return false;
      throw error;
    },
  );
}

/** One worker: looks at the entry, and records the use as the first of its subject. True when it released the call. */
async function uses(
  { entryOf, recorder }: RaceParts,
  hold: Hold,
  gate: Promise<unknown>,
): Promise<boolean> {
  await gate;
  const entry = await entryOf(tenant, hold.binding);
  if (entry?.state !== 'approved') return false;
  const { payload } = sealPayload({}, {}, () => '0'.repeat(32));
  const record = { leaf: '{}', payload } as never;
  const approval = { approvalId: entry.approval_id, uses: entry.uses, used: entry.used };
  return recorder.use(record, tenant, approval).then(
    () => true,
    (error: unknown) => {
      if (error instanceof NotFirst) return false;
      throw error;
    },
  );
}

async function wrong(whole: RaceParts['whole'], hold: Hold, released: number): Promise<string> {
  const { pool, telling } = whole;
  const row = await findByHandle(whole, { tenant, id: hold.id });
  const key = APPROVAL_KEYS.id(tenant, hold.id);
  const stored = await telling.entries.get(key);
  const entry = stored === null ? 'none' : openEntry(telling.keys, key, stored.string());
  const events = await pool.query<{ step: number; event: string }>(
    'select step, event from approval_events where tenant = $1 and id = $2 order by step',
    [tenant, hold.id],
  );
  const names = events.rows.map(({ event }) => event);
  if (row === undefined || typeof entry === 'string') return 'it is lost';
  if (released > 1) return `released ${released} times`;
  if (released === 1 && !names.includes('approved')) return 'released without an approval';
  if (entry.state !== row.state || entry.step !== row.step) return 'told another state than stored';
  if (row.told !== row.step) return 'not everything is told';
  if (events.rows.some(({ step }, index) => step !== index + 1)) return 'a step is missing';
  const ends = names.filter((name) =>
    ['denied', 'edited', 'expired', 'cancelled', 'superseded', 'no_channel'].includes(name),
  );
  return ends.length > 1 ? `it ended ${ends.length} times` : '';
}
