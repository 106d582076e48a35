// Thirty-two racers on each held call (approve, deny, edit, cancel, supersede, expire, use), with a crash at any step of any
// of them: at most one release, and what is told in the end is what is stored. COUNTERSIGN_RACES sets how many races.

import { randomBytes, randomInt } from 'node:crypto';

import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { DATABASE, prepareDatabase } from '#cli/local/database.ts';
import { APPROVAL_KEYS, openEntry } from '#contracts/approval.ts';
import { asApprovalId, asDecisionId, type TenantId, uuid7 } from '#contracts/ids.ts';
import { sealPayload } from '#contracts/record.ts';
import { openPool } from '#host/database.ts';
import { readMacKeys } from '#host/keys.ts';
import { createLog } from '#host/log.ts';
import type { KV } from '#host/nats.ts';
import { NotFirst, type PublishRecord, recordPublisher } from '#host/publish.ts';
import { startPostgres, type TestPostgres } from '#test/support/servers.ts';
import { startWorld, type World } from '#test/support/world.ts';

import { eventOf } from '../../../services/approval-escalation/event.ts';
import type { Hold } from '../../../services/approval-escalation/hold.ts';
import { heldCall, type Step, SYSTEM } from '../../../services/approval-escalation/reduce.ts';
import { type StepParts, take } from '../../../services/approval-escalation/steps.ts';
import { findByHandle, takeHold, untold } from '../../../services/approval-escalation/store.ts';
import { createTell, type TellParts } from '../../../services/approval-escalation/tell.ts';
import { approvalEntries } from '../../../services/decision-worker/points/approvals.ts';
import { createRecorder, type Recorder } from '../../../services/decision-worker/recorder.ts';
import { migrateDatabase } from '../../../services/migrate/database.ts';

const RACES = Number(process.env['COUNTERSIGN_RACES'] ?? 2_000);
const AT_ONCE = 24;
const TTL_MS = 600_000;
const tenant = 'acme' as TenantId;
const log = createLog('test', 'silent');

let world: World;
let postgres: TestPostgres;
let pool: pg.Pool;
let whole: StepParts & { readonly telling: TellParts };
let recorder: Recorder;
let entryOf: ReturnType<typeof approvalEntries>['entry'];

beforeAll(async () => {
  [world, postgres] = await Promise.all([startWorld({ workers: 0 }), startPostgres({ own: true })]);
  for (const stream of ['APPROVALS', 'DECISIONS', 'KV_approvals']) {
    await world.operator.jsm.streams.update(stream, { max_bytes: -1 }); // a long run stores much
  }
  const password = randomBytes(12).toString('hex');
  await prepareDatabase(postgres.adminUrl, () => password);
  const url = (role: string) => {
    const address = new URL(postgres.adminUrl);
    address.pathname = DATABASE;
    [address.username, address.password] = [role, password];
    return address.href;
  };
  await migrateDatabase(url('countersign_migrator'));
  pool = openPool(await world.file('approvals.url', url('countersign_approvals')), log, 24);
  const keys = readMacKeys(world.macKeysFile);
  const bus = await world.bus('approval-escalation');
  const telling: TellParts = {
    pool,
    publish: recordPublisher(bus, keys),
    entries: await bus.bucket('approvals'),
    key: keys.get('approval-escalation')![0]!,
    keys,
  };
  whole = { pool, tell: createTell(telling), log, now: Date.now, telling };
  const worker = await world.bus('decision-worker');
  recorder = createRecorder(recordPublisher(worker, keys), 5_000, () => []);
  entryOf = approvalEntries(await worker.bucket('approvals'), keys, log).entry;
}, 120_000);
afterAll(async () => {
  await pool?.end();
  await world?.close();
  await postgres?.stop();
});

class Crash extends Error {}

/** Where a racer dies: after the commit, after each event, before each entry, before it is marked as told. */
const CRASHES = ['commit', 'event', 'call', 'id', 'told'] as const;

/** The same service, which dies at one of its steps. */
function dying(at: (typeof CRASHES)[number]): StepParts {
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

/** One who decides; true when it was the one who did. Often dies at it. Who only looks has a clock that is past the end. */
async function decides(hold: Hold, step: Step, gate: Promise<unknown>): Promise<boolean> {
  if (step.is !== 'approve' && randomInt(EARLY) > 0) await gate;
  const crash = CRASHES[randomInt(CRASHES.length * 3)];
  const parts = crash === undefined ? whole : dying(crash);
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
async function uses(hold: Hold, gate: Promise<unknown>): Promise<boolean> {
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

/** What is wrong after a race, and how often it was released. */
async function race(): Promise<{ readonly released: number; readonly fault: string }> {
  const hold = freshHold();
  const approval = heldCall(hold.summary, {
    route: 'default',
    stages: [{ name: 'one', quorum: 1, approvers: [] }],
    tiers: [{ name: 'one', after_s: 0, channels: [], remind_s: 0 }],
    step_up_s: 0,
  });
  const place = { tenant, id: hold.id };
  const happened = { event: 'held', actor: SYSTEM } as const;
  const event = eventOf(
    approval,
    { ...place, decisionId: hold.facts.decisionId },
    happened,
    Date.now(),
  );
  await takeHold(pool, hold, { approval, event });
  await whole.tell(place);
  let open: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => (open = resolve));
  const approving = DECIDERS.filter(({ is }) => is === 'approve').map(async (step) => {
    if (await decides(hold, step, gate)) open();
  });
  void Promise.all(approving).then(() => open());
  const ending = DECIDERS.filter(({ is }) => is !== 'approve').map((step) =>
    decides(hold, step, gate),
  );
  const using = Array.from({ length: USERS }, () => uses(hold, gate));
  await Promise.all([...approving, ...ending]);
  const released = (await Promise.all(using)).filter(Boolean).length;
  await whole.tell(place); // what the next sweep does
  return { released, fault: await wrong(hold, released) };
}

async function wrong(hold: Hold, released: number): Promise<string> {
  const row = await findByHandle(pool, { tenant, id: hold.id });
  const key = APPROVAL_KEYS.id(tenant, hold.id);
  const stored = await whole.telling.entries.get(key);
  const entry = stored === null ? 'none' : openEntry(whole.telling.keys, key, stored.string());
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

it(`${RACES} races of 32, with crashes at every step: nothing is released twice`, async () => {
  let left = RACES;
  let released = 0;
  const faults: string[] = [];
  const lane = async () => {
    while (left-- > 0) {
      const result = await race();
      released += result.released;
      if (result.fault !== '') faults.push(result.fault);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  expect(faults).toEqual([]);
  expect(await untold(pool)).toEqual([]);
  // The races must be races: many are released, many are not.
  expect(released).toBeGreaterThan(RACES / 20);
  expect(released).toBeLessThan(RACES);
  const { rows } = await pool.query<{ steps: number }>(
    'select sum(step)::int as steps from approvals',
  );
  const { state } = await world.operator.jsm.streams.info('APPROVALS');
  expect(state.messages).toBe(rows[0]?.steps);
  const uses = await world.operator.jsm.streams.info('DECISIONS', { subjects_filter: 'v1.use.>' });
  expect(Object.values(uses.state.subjects ?? {}).reduce((sum, count) => sum + count, 0)).toBe(
    released,
  );
}, 3_600_000);
