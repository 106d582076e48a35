// Rates: what a flood uses up is its own share and nobody else's. The clock is an argument.

import { describe, expect, it } from 'vitest';

import type { WorkerAnswer } from '#contracts/call.ts';
import { CONTROL_KEYS, type ControlEntry } from '#contracts/control.ts';
import type { Reason } from '#contracts/reasons.ts';

import { type AdmissionLimits, createAdmission } from '../../../services/ingress/admission.ts';
import { watchIssuers } from '../../../services/ingress/identity-peek.ts';
import { jwt } from '../../support/unsigned-jwt.ts';

type Listener = (key: string, entry: ControlEntry) => void;

const LIMITS: AdmissionLimits = {
  tenantCallsPerSecond: 10,
  agentCallsPerSecond: 6,
  tenantBytesPerSecond: 1_000,
  sourceCallsPerSecond: 3,
  unprovenCallsPerSecond: 5,
};
const START = 1_800_000_000_000;

const token = (tenant: string, agent: string, expiresAt = START + 3_600_000) =>
  jwt({ iss: 'https://idp.example', tenant, sub: agent, exp: expiresAt / 1_000 });

const seen = (agent: string): WorkerAnswer => ({
  n: 0,
  kind: 'visible',
  agent,
  principal: 'p',
  tools: [],
});
const refusedAs = (code: Reason, proven: boolean): WorkerAnswer => ({
  n: 0,
  kind: 'refused',
  code,
  proven,
});

/** An admission with the issuer of tenants acme and bolt. */
function gate(limits: Partial<AdmissionLimits> = {}) {
  const listeners: Listener[] = [];
  const view = { onChange: (listener: Listener) => void listeners.push(listener) };
  const admission = createAdmission({ ...LIMITS, ...limits }, watchIssuers(view), view);
  const put = (key: string, value: unknown) =>
    listeners.forEach((tell) => tell(key, { sequence: 1, at: 1, value }));
  for (const tenant of ['acme', 'bolt']) {
    put(CONTROL_KEYS.issuer(tenant, 'idp'), { issuer: 'https://idp.example', audiences: ['c'] });
  }
  const admit = (identity: string, { at = 0, address = '10.0.0.1', bytes = 1 } = {}) => {
    const admitted = admission.admit({ identity, address, bytes, now: START + at });
    return typeof admitted === 'string' ? admitted : admitted.tenant;
  };
  const answer = (identity: string, given: WorkerAnswer, { at = 0, address = '10.9.9.9' } = {}) => {
    const admitted = admission.admit({ identity, address, bytes: 0, now: START + at });
    if (typeof admitted === 'string') throw new Error(admitted);
    admission.learn(admitted, given);
  };
  const times = (count: number, one: () => string) => Array.from({ length: count }, one);
  return { put, admit, answer, times };
}

const A1 = token('acme', 'a1');
const A2 = token('acme', 'a2');
const B1 = token('bolt', 'b1');

describe('tokens that no worker has proved', () => {
  it('count by their source address', () => {
    const { admit, times } = gate();
    expect(times(4, () => admit(A1))).toEqual(['acme', 'acme', 'acme', 'service.source_rate']);
    expect(admit(A1, { address: '10.0.0.2' })).toBe('acme');
  });

  it('have one share over all addresses', () => {
    const { admit } = gate();
    const from = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6'];
    expect(from.map((address) => admit(A1, { address }))).toEqual([
      ...Array.from({ length: 5 }, () => 'acme'),
      'service.source_rate',
    ]);
  });

  it('get their share back with time', () => {
    const { admit, times } = gate();
    times(3, () => admit(A1));
    expect(admit(A1, { at: 300 })).toBe('service.source_rate');
    expect(admit(A1, { at: 400 })).toBe('acme');
  });

  it.each([
    ['addresses of one IPv6 network', '2001:db8:1:2::1', '2001:db8:1:2:ffff::9', false],
    ['addresses of two IPv6 networks', '2001:db8:1:2::1', '2001:db8:1:3::1', true],
    ['an IPv4 address in its IPv6 form', '::ffff:10.0.0.1', '10.0.0.1', false],
  ])('%s', (_name, first, second, apart) => {
    const { admit, times } = gate();
    times(3, () => admit(A1, { address: first }));
    expect(admit(A1, { address: second })).toBe(apart ? 'acme' : 'service.source_rate');
  });

  it('do not use up the rate of the tenant that they name', () => {
    const { admit, answer, times } = gate();
    answer(A1, seen('a1'));
    times(4, () => admit(token('acme', 'a1', START + 1_000)));
    expect(times(6, () => admit(A1))).toEqual(Array.from({ length: 6 }, () => 'acme'));
  });

  it('a missing identity uses up nothing', () => {
    const { admit, times } = gate();
    expect(times(9, () => admit(''))).toEqual(Array.from({ length: 9 }, () => 'identity.missing'));
    expect(admit(A1)).toBe('acme');
  });
});

describe('tokens that a worker proved', () => {
  it('count by agent, then by tenant', () => {
    const { admit, answer, times } = gate();
    answer(A1, seen('a1'));
    answer(A2, seen('a2'));
    expect(times(7, () => admit(A1)).at(-1)).toBe('service.agent_rate');
    expect(times(5, () => admit(A2))).toEqual([
      ...Array.from({ length: 4 }, () => 'acme'),
      'service.tenant_rate',
    ]);
  });

  it('of another tenant are not touched by a flood', () => {
    const { admit, answer, times } = gate();
    answer(A1, seen('a1'));
    answer(B1, seen('b1'));
    times(1_000, () => admit(A1));
    expect(admit(B1)).toBe('bolt');
  });

  it('count with their agent, whichever token it uses', () => {
    const { admit, answer, times } = gate();
    const other = token('acme', 'a1', START + 60_000);
    answer(A1, seen('a1'));
    answer(other, seen('a1'));
    times(6, () => admit(A1));
    expect(admit(other)).toBe('service.agent_rate');
  });

  it('count bytes by tenant', () => {
    const { admit, answer } = gate();
    answer(A1, seen('a1'));
    expect(admit(A1, { bytes: 900 })).toBe('acme');
    expect(admit(A1, { bytes: 200 })).toBe('service.tenant_rate');
    expect(admit(A1, { bytes: 200, at: 200 })).toBe('acme');
  });

  it('follow the rates that a tenant was given, and the defaults when they go', () => {
    const { admit, answer, put, times } = gate();
    put(CONTROL_KEYS.tenant('acme'), { calls_per_second: 2, agent_calls_per_second: 9 });
    answer(A1, seen('a1'));
    expect(times(3, () => admit(A1)).at(-1)).toBe('service.tenant_rate');
    put(CONTROL_KEYS.tenant('acme'), null);
    expect(times(6, () => admit(A1, { at: 10_000 })).at(-1)).toBe('acme');
  });

  it('are proved anew after their expiry', () => {
    const { admit, answer, times } = gate();
    const short = token('acme', 'a1', START + 1_000);
    answer(short, seen('a1'));
    times(3, () => admit(A2));
    expect(admit(short)).toBe('acme');
    expect(admit(short, { at: 999 })).toBe('acme');
    times(3, () => admit(A2, { at: 1_000 }));
    expect(admit(short, { at: 1_000 })).toBe('service.source_rate');
  });

  it.each<[string, WorkerAnswer, string]>([
    ['a refusal after the signature held', refusedAs('service.behind', true), 'acme'],
    ['a refusal that says nothing about it', refusedAs('service.timeout', false), 'acme'],
    ['a refused identity', refusedAs('identity.signature', false), 'service.source_rate'],
  ])('after %s', (_name, given, expected) => {
    const { admit, answer, times } = gate();
    answer(A1, seen('a1'));
    answer(A1, given);
    times(3, () => admit(A2));
    expect(admit(A1)).toBe(expected);
  });

  it('stay proved when issuers change, unless they name nobody any more', () => {
    const { admit, answer, put, times } = gate();
    answer(A1, seen('a1'));
    times(3, () => admit(A2));
    put(CONTROL_KEYS.issuer('bolt', 'idp'), null);
    expect(admit(A1)).toBe('acme');
    put(CONTROL_KEYS.issuer('acme', 'idp'), null);
    expect(admit(A1)).toBe('service.source_rate');
  });
});
