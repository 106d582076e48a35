// What stops a call, as tables: who and what each revocation reaches.

import { describe, expect, it } from 'vitest';

import type { TenantId } from '#contracts/ids.ts';
import { inScope, killedBy, type Stoppable, type SwitchScope } from '#contracts/stop.ts';
import type { ControlView } from '#host/control-view.ts';

import {
  revokedBy,
  stoppableOf,
  withdrawnBy,
} from '../../../services/decision-worker/checks/stopped.ts';
import { stopsOf } from '../../../services/decision-worker/points/stops.ts';

const ACME = 'acme' as TenantId;
type Listener = Parameters<ControlView['onChange']>[0];

/** The state as a worker has it, and a way to change it. */
function feed() {
  const listeners: Listener[] = [];
  const view = { onChange: (listener: Listener) => void listeners.push(listener) };
  const stops = stopsOf(view as unknown as ControlView);
  const put = (key: string, value: object | null) => {
    for (const listener of listeners) listener(key, { sequence: 1, at: 1, value });
  };
  return { stops, put };
}

const BY = {
  agent: 'helper',
  actors: ['helper', 'planner'],
  person: 'ann@example.com',
  workflow: 'refunds',
  task: 't-1',
};
const call = (task_id?: string) => ({ tenant: ACME, envelope: { task_id } }) as never;

const CALLERS: readonly (readonly [
  name: string,
  revoked: readonly [tenant: string, kind: string, id: string],
  expected: string,
])[] = [
  ['its agent', ['acme', 'agent', 'helper'], 'the agent'],
  ['an agent that it acts for', ['acme', 'agent', 'planner'], 'the agent'],
  ['its person', ['acme', 'person', 'ann@example.com'], 'the person'],
  ['its workflow', ['acme', 'workflow', 'refunds'], 'the workflow'],
  ['its task', ['acme', 'task', 't-1'], 'the task'],
  ['the task that the call names', ['acme', 'task', 't-2'], 'the task'],
  ['another agent', ['acme', 'agent', 'ann@example.com'], ''],
  ['a person of another tenant', ['other', 'person', 'ann@example.com'], ''],
];

const LINKS = ['l0', 'l1', 'l2'];
const CAPABILITY = { jti: 'j', rootJti: 'r', subject: 'planner', links: LINKS };
const CAPABILITIES: readonly (readonly [name: string, kind: string, id: string, told: string])[] = [
  ['itself', 'capability', 'j', 'the capability'],
  ['its root', 'capability', 'r', 'the capability'],
  ['its first link', 'capability', 'l0', 'link 0 of the capability'],
  ['its last link', 'capability', 'l2', 'link 2 of the capability'],
  ['the agent it was minted for', 'agent', 'planner', 'the agent it was given to'],
  ['another link', 'capability', 'l3', ''],
  ['a person of the same name', 'person', 'planner', ''],
];

describe('a revocation', () => {
  it.each(CALLERS)('of %s', (_, [tenant, kind, id], expected) => {
    const { stops, put } = feed();
    put(`revocation.${tenant}.${kind}.x`, { kind, id });
    expect(revokedBy(call('t-2'), BY, stops.revoked)).toBe(expected);
  });

  it.each(CAPABILITIES)('of %s reaches a capability', (_, kind, id, expected) => {
    const { stops, put } = feed();
    put(`revocation.acme.${kind}.x`, { kind, id });
    expect(withdrawnBy(CAPABILITY, ACME, stops.revoked)).toBe(expected);
  });

  it('that names nothing stops nobody who has no such thing', () => {
    const { stops, put } = feed();
    put('revocation.acme.person.x', { kind: 'person', id: '' });
    const nobody = { ...BY, person: '', workflow: '', task: '' };
    expect(revokedBy(call(), nobody, stops.revoked)).toBe('');
  });

  it('that is gone from the feed, as when its bucket is made anew, is gone', () => {
    const { stops, put } = feed();
    put('revocation.acme.agent.x', { kind: 'agent', id: 'helper' });
    put('revocation.acme.agent.y', { kind: 'agent', id: 'other' });
    put('revocation.acme.agent.x', null);
    expect(['helper', 'other'].map((id) => stops.revoked(ACME, 'agent', id))).toEqual([
      false,
      true,
    ]);
  });
});

const STOPPABLE: Stoppable = {
  tenant: ACME,
  tool: 'refund_order',
  upstream: 'shop',
  actors: ['helper', 'planner'],
  person: 'ann@example.com',
  workflow: 'refunds',
  sessions: ['s-1', 's-2'],
};
const KILLS: readonly (readonly [
  name: string,
  engaged: readonly [tenant: string, scope: string, id: string],
  expected: string,
])[] = [
  ['everything', ['_platform', 'global', ''], 'global'],
  ['its tenant', ['acme', 'tenant', ''], 'tenant'],
  ['its agent', ['acme', 'agent', 'helper'], 'agent'],
  ['an agent that it acts for', ['acme', 'agent', 'planner'], 'agent'],
  ['its tool', ['acme', 'tool', 'refund_order'], 'tool'],
  ['its upstream', ['acme', 'upstream', 'shop'], 'upstream'],
  ['its person', ['acme', 'person', 'ann@example.com'], 'person'],
  ['its workflow', ['acme', 'workflow', 'refunds'], 'workflow'],
  ['the session of its identity', ['acme', 'session', 's-1'], 'session'],
  ['the session that it names', ['acme', 'session', 's-2'], 'session'],
  ['another tenant', ['other', 'tenant', ''], ''],
  ['its tool in another tenant', ['other', 'tool', 'refund_order'], ''],
  ['a tenant that calls itself everything', ['acme', 'global', ''], ''],
  ['an upstream of its name', ['acme', 'upstream', 'refund_order'], ''],
];

describe('a kill switch', () => {
  it.each(KILLS)('for %s', (_, [tenant, scope, id], expected) => {
    const { stops, put } = feed();
    put(`switch.${tenant}.${scope}.x`, { scope, id });
    expect(killedBy(STOPPABLE, stops.engaged)).toBe(expected);
    const place = { tenant, scope: scope as SwitchScope, id };
    expect(inScope(place, STOPPABLE)).toBe(expected !== '');
    put(`switch.${tenant}.${scope}.x`, null);
    expect(killedBy(STOPPABLE, stops.engaged)).toBe('');
  });

  it('is told by its widest scope', () => {
    expect(killedBy(STOPPABLE, () => true)).toBe('global');
    const only = killedBy(STOPPABLE, (_tenant, scope) => scope === 'tool' || scope === 'person');
    expect(only).toBe('tool');
  });

  it('without an id reaches nobody who has none', () => {
    const nameless = { ...STOPPABLE, upstream: '', person: '', workflow: '', sessions: ['', ''] };
    const narrow = { ...nameless, tool: '', actors: [''] };
    const engaged = (_tenant: string, scope: string) => scope !== 'global' && scope !== 'tenant';
    expect(killedBy(narrow, engaged)).toBe('');
  });

  it('sees a call by what is proven and by what it names', () => {
    const by = { ...BY, session: 's-1' };
    const asked = { tenant: ACME, envelope: { tool: 'refund_order', session_id: 's-2' } };
    expect(stoppableOf({ ...asked, tool: { upstream: 'shop' } } as never, by)).toEqual({
      ...STOPPABLE,
      actors: ['helper', 'helper', 'planner'],
    });
  });
});
