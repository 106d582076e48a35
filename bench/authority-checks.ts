// What the checks of authority cost in a decision, by the very functions that run, with little and with much to look at.

import { CONTROL_KEYS } from '#contracts/control.ts';
import type { Exception } from '#contracts/exception.ts';
import type { TenantId } from '#contracts/ids.ts';
import { type ClassMode, CRITERIA_DEFAULT } from '#contracts/mode.ts';
import { killedBy, type Stoppable } from '#contracts/stop.ts';

import { revokedBy, withdrawnBy } from '../services/decision-worker/checks/stopped.ts';
import { rolloutOf } from '../services/decision-worker/points/rollout.ts';
import { stopsOf } from '../services/decision-worker/points/stops.ts';
import { watchInFlight } from '../services/ingress/in-flight.ts';
import { optionSteps } from './authority-options.ts';
import type { RowContext } from './rows.ts';
import { best, memory } from './steps.ts';
import { figure } from './table.ts';

const TENANT = 'plain' as TenantId;
const SWITCHES = 100;
const REVOCATIONS = 10_000;
const EXCEPTIONS = 100;
const BATCHES = 80;
const BATCHES_QUICK = 20;

const CALL: Stoppable = {
  tenant: TENANT,
  tool: 'send_email',
  upstream: 'shop',
  actors: ['support-1', 'support-1'],
  person: 'alice@example.com',
  workflow: 'support',
  sessions: ['', 'session-1'],
};
const BY = {
  agent: 'support-1',
  actors: ['support-1'],
  person: CALL.person,
  workflow: 'support',
  task: '',
};
const CAPABILITY = { jti: 'j', rootJti: 'r', subject: 'support-1', links: ['l0', 'l1', 'l2'] };

/** Measures and shows them. */
export async function checkCosts({
  quick,
  table,
}: Pick<RowContext, 'quick' | 'table'>): Promise<Readonly<Record<string, number>>> {
  const [none, much] = [memory(), memory()];
  const call = {
    tenant: TENANT,
    envelope: { tool: 'send_email', session_id: 's' },
    at: 1,
  } as never;
  const by = { ...BY, agentClass: 'support', session: '' } as never;
  await fill(much.writer.put);
  const stops = { none: stopsOf(none.view), much: stopsOf(much.view) };
  const rollout = { none: rolloutOf(none.view), much: rolloutOf(much.view) };
  const ways = { none: watchInFlight(none.view), much: watchInFlight(much.view) };
  const abort = () => undefined;
  const figures = await best(
    [
      ['kill switches: none engaged', () => killedBy(CALL, stops.none.engaged)],
      [`kill switches: ${SWITCHES} engaged for others`, () => killedBy(CALL, stops.much.engaged)],
      ['revocations of the caller: none', () => revokedBy(call, BY, stops.none.revoked)],
      [
        `revocations of the caller: ${REVOCATIONS} of others`,
        () => revokedBy(call, BY, stops.much.revoked),
      ],
      [
        `revocations of a capability of 3 links: ${REVOCATIONS} of others`,
        () => withdrawnBy(CAPABILITY, TENANT, stops.much.revoked),
      ],
      ['rollout mode: none set', () => rollout.none.mode(call, by)],
      ['rollout mode: observe with a canary share', () => rollout.much.mode(call, by)],
      [
        `a refusal that may be lifted: ${EXCEPTIONS} exceptions of others`,
        () => rollout.much.lift(call, by, 'policy.blocked'),
      ],
      ['ingress: a forwarded call enters and leaves', () => ways.none.enter(CALL, abort).leave()],
      [
        `ingress: the same, ${SWITCHES} switches engaged for others`,
        () => ways.much.enter(CALL, abort).leave(),
      ],
      ...(await optionSteps()),
    ],
    quick ? BATCHES_QUICK : BATCHES,
  );
  table({
    title: 'CPU of one check of authority in microseconds',
    columns: ['', 'us'],
    rows: Object.entries(figures).map(([name, micros]) => [name, figure(micros)]),
    notes: [
      'A proof costs one stored message more, ceilings one where no units are at hand (hot counter, below); their way is not in these figures.',
    ],
  });
  return figures;
}

async function fill(put: (key: string, value: unknown) => Promise<void>): Promise<void> {
  const stopped = { reason: 'r', by: 'ada', at: 1 };
  for (let one = 0; one < SWITCHES; one += 1) {
    const id = `session-of-another-${one}`;
    const value = { ...stopped, scope: 'session', id, release: null };
    await put(CONTROL_KEYS.switch(TENANT, 'session', id), value);
  }
  for (let one = 0; one < REVOCATIONS; one += 1) {
    const kind = (['capability', 'agent', 'person', 'task'] as const)[one % 4] ?? 'agent';
    const id = `another-${one}`;
    await put(CONTROL_KEYS.revocation(TENANT, kind, id), { ...stopped, kind, id });
  }
  const mode: ClassMode = {
    class: 'support',
    mode: 'observe',
    canary: { percent: 5, by: 'agent' },
    criteria: CRITERIA_DEFAULT,
    by: 'ada',
    reason: 'r',
    override: true,
    since: 1,
  };
  await put(CONTROL_KEYS.mode(TENANT, mode.class), mode);
  for (let one = 0; one < EXCEPTIONS; one += 1) {
    const exception: Exception = {
      agent: `another-${one}`,
      reason: 'policy.blocked',
      why: 'w',
      expires_at: Number.MAX_SAFE_INTEGER,
      by: 'ada',
      at: 1,
      review: null,
    };
    await put(CONTROL_KEYS.exception(TENANT, `e${one}`), exception);
  }
}
