// Calls on their way, and the switches that cut them off: also one that was engaged before, and never twice.

import { describe, expect, it } from 'vitest';

import type { TenantId } from '#contracts/ids.ts';
import type { Stoppable } from '#contracts/stop.ts';
import type { ControlView } from '#host/control-view.ts';

import { watchInFlight } from '../../../services/ingress/in-flight.ts';

const CALL: Stoppable = {
  tenant: 'acme' as TenantId,
  tool: 'refund_order',
  upstream: 'shop',
  actors: ['shop-agent'],
  person: '',
  workflow: '',
  sessions: ['', 's-1'],
};

type Listener = Parameters<ControlView['onChange']>[0];

function feed() {
  const listeners: Listener[] = [];
  const view = { onChange: (listener: Listener) => void listeners.push(listener) };
  const put = (place: string, value: object | null) => {
    for (const listener of listeners) listener(`switch.${place}`, { sequence: 1, at: 1, value });
  };
  const aborted: string[] = [];
  const { enter } = watchInFlight(view as unknown as ControlView);
  const start = (name: string, call: Partial<Stoppable> = {}) =>
    enter({ ...CALL, ...call }, () => void aborted.push(name));
  return { put, start, aborted };
}

describe('watchInFlight', () => {
  it('cuts off what is in scope, once, and leaves the rest', () => {
    const { put, start, aborted } = feed();
    const ways = [
      start('a'),
      start('b', { tool: 'lookup_order' }),
      start('c', { tenant: 'other' as TenantId }),
    ];
    put('acme.tool.x', { scope: 'tool', id: 'refund_order' });
    put('acme.tenant.y', { scope: 'tenant', id: '' });
    expect(aborted).toEqual(['a', 'b']);
    expect(ways.map((way) => way.killedBy())).toEqual(['tool', 'tenant', '']);
  });

  it('lets nothing leave that an engaged switch stops, until it is released', () => {
    const { put, start, aborted } = feed();
    put('_platform.global.x', { scope: 'global', id: '' });
    expect(start('a').killedBy()).toBe('global');
    put('_platform.global.x', null);
    expect(start('b').killedBy()).toBe('');
    expect(aborted).toEqual(['a']);
  });

  it('forgets who has left', () => {
    const { put, start, aborted } = feed();
    start('a').leave();
    put('acme.session.x', { scope: 'session', id: 's-1' });
    expect(aborted).toEqual([]);
  });
});
