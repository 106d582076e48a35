import { hash } from 'node:crypto';

import { expect, test } from 'vitest';

import type { Operator } from '#contracts/control.ts';
import { PLATFORM, type TenantId } from '#contracts/ids.ts';

import { AdminError } from '../../../services/admin/errors.ts';
import { authenticator, authorize } from '../../../services/admin/operators.ts';

const ACME = 'acme' as TenantId;
const token = 'cso_right';

const given = (what: Partial<Operator>): Operator => ({
  id: 'p',
  name: 'P',
  roles: ['viewer'],
  token_hash: `sha256:${hash('sha256', token, 'hex')}`,
  ...what,
});

const codeOf = (run: () => unknown): string => {
  try {
    run();
    return '';
  } catch (error) {
    if (error instanceof AdminError) return error.code;
    throw error;
  }
};

const RIGHTS: readonly (readonly [
  name: string,
  who: Partial<Operator>,
  needed: Parameters<typeof authorize>[1],
  refused: string,
])[] = [
  ['a viewer looks', { roles: ['viewer'] }, { role: 'viewer', tenant: ACME }, ''],
  ['a viewer operates', { roles: ['viewer'] }, { role: 'operator', tenant: ACME }, 'operator.role'],
  ['an approver looks', { roles: ['approver'] }, { role: 'viewer', tenant: ACME }, ''],
  [
    'an approver operates',
    { roles: ['approver'] },
    { role: 'operator', tenant: ACME },
    'operator.role',
  ],
  [
    'an operator approves',
    { roles: ['operator'] },
    { role: 'approver', tenant: ACME },
    'operator.role',
  ],
  [
    'one with both roles approves',
    { roles: ['operator', 'approver'] },
    { role: 'approver', tenant: ACME },
    '',
  ],
  ['an admin approves', { roles: ['admin'] }, { role: 'approver', tenant: ACME }, ''],
  [
    'an operator of the tenant',
    { roles: ['operator'], tenants: [ACME] },
    { role: 'operator', tenant: ACME },
    '',
  ],
  [
    'an operator of another',
    { roles: ['operator'], tenants: ['x' as TenantId] },
    { role: 'viewer', tenant: ACME },
    'operator.tenant',
  ],
  [
    'an operator of all looks at the platform',
    { roles: ['operator'] },
    { role: 'viewer', tenant: PLATFORM },
    '',
  ],
  [
    'an operator of all changes the platform',
    { roles: ['operator'] },
    { role: 'operator', tenant: PLATFORM },
    'operator.role',
  ],
  [
    'an admin changes the platform',
    { roles: ['admin'] },
    { role: 'operator', tenant: PLATFORM },
    '',
  ],
  [
    'an admin of a tenant changes the platform',
    { roles: ['admin'], tenants: [ACME] },
    { role: 'operator', tenant: PLATFORM },
    'operator.tenant',
  ],
  [
    'an operator of all stops everything',
    { roles: ['operator'] },
    { role: 'operator', platformRole: 'operator', tenant: PLATFORM },
    '',
  ],
  [
    'an approver of all stops everything',
    { roles: ['approver'] },
    { role: 'operator', platformRole: 'operator', tenant: PLATFORM },
    'operator.role',
  ],
  [
    'an operator of a tenant stops everything',
    { roles: ['operator'], tenants: [ACME] },
    { role: 'operator', platformRole: 'operator', tenant: PLATFORM },
    'operator.tenant',
  ],
  [
    'an admin of a tenant looks at the platform',
    { roles: ['admin'], tenants: [ACME] },
    { role: 'viewer', tenant: PLATFORM },
    'operator.tenant',
  ],
  [
    'an admin of a tenant changes operators',
    { roles: ['admin'], tenants: [ACME] },
    { role: 'admin', tenant: undefined },
    'operator.tenant',
  ],
  [
    'an operator of a tenant asks who they are',
    { roles: ['operator'], tenants: [ACME] },
    { role: 'viewer', tenant: undefined },
    '',
  ],
];
test.each(RIGHTS)('%s', (_, who, needed, refused) => {
  expect(codeOf(() => authorize(given(who), needed))).toBe(refused);
});

const HEADERS: readonly (readonly [name: string, header: string | undefined, refused: string])[] = [
  ['the right token', `Bearer ${token}`, ''],
  ['no header', undefined, 'operator.missing'],
  ['another scheme', `Basic ${token}`, 'operator.missing'],
  ['a token with something behind it', `Bearer ${token} x`, 'operator.missing'],
  ['a wrong token', 'Bearer cso_wrong', 'operator.unknown'],
  ['a hash instead of its token', `Bearer ${given({}).token_hash}`, 'operator.unknown'],
  ['a token of absurd length', `Bearer ${'x'.repeat(100_000)}`, 'operator.unknown'],
];
test.each(HEADERS)('%s', (_, header, refused) => {
  const authenticate = authenticator(new Map([['p', given({})]]));
  expect(codeOf(() => authenticate(header, '::1'))).toBe(refused);
});

test('wrong tokens are limited by address and minute, right ones never', () => {
  let now = 0;
  const authenticate = authenticator(new Map([['p', given({})]]), () => now);
  const wrong = (address: string) => codeOf(() => authenticate('Bearer no', address));
  const codes = Array.from({ length: 21 }, () => wrong('::1'));
  expect([codes[19], codes[20], wrong('::2')]).toEqual([
    'operator.unknown',
    'operator.too_many_attempts',
    'operator.unknown',
  ]);
  expect(codeOf(() => authenticate(`Bearer ${token}`, '::1'))).toBe('');
  now = 60_000;
  expect(wrong('::1')).toBe('operator.unknown');
});
