// Which tenant an unverified identity names, and nothing more.

import { describe, expect, it } from 'vitest';

import { CONTROL_KEYS, type ControlEntry, type Issuer } from '#contracts/control.ts';

import { peekIdentity, watchIssuers } from '../../../services/ingress/identity-peek.ts';
import { jwt } from '../../support/unsigned-jwt.ts';

type Listener = (key: string, entry: ControlEntry) => void;

/** A control view that holds nothing but what the test tells. */
function feed() {
  const listeners: Listener[] = [];
  return {
    onChange: (listener: Listener) => void listeners.push(listener),
    put: (key: string, value: unknown) =>
      listeners.forEach((tell) => tell(key, { sequence: 1, at: 1, value })),
  };
}

const issuer = (issuerName: string, more: Partial<Issuer> = {}): Issuer => ({
  issuer: issuerName,
  audiences: ['countersign'],
  ...more,
});

function registered() {
  const view = feed();
  const issuers = watchIssuers(view);
  const put = (tenant: string, id: string, value: Issuer | null) =>
    view.put(CONTROL_KEYS.issuer(tenant, id), value);
  put('acme', 'idp', issuer('https://idp.example'));
  put('acme', 'other', issuer('https://own.example', { tenant_value: 'ACME Inc.' }));
  put('bolt', 'idp', issuer('https://idp.example'));
  put('bolt', 'org', issuer('https://org.example', { claims: { tenant: 'org' } }));
  put('bolt', 'mesh', issuer('spiffe://bolt.example', { kind: 'jwt-svid' }));
  return { view, issuers, put };
}

describe('peekIdentity', () => {
  it.each<[string, string, unknown]>([
    ['no token', '', 'identity.missing'],
    ['text without dots', 'abc', 'identity.malformed'],
    ['two parts', 'a.b', 'identity.malformed'],
    ['five parts, as encrypted tokens have', 'a.b.c.d.e', 'identity.malformed'],
    [
      'a payload that is not JSON',
      `a.${Buffer.from('{').toString('base64url')}.c`,
      'identity.malformed',
    ],
    ['a payload that is a list', jwt([]), 'identity.malformed'],
    [
      'a claim given twice',
      `a.${Buffer.from('{"iss":"https://idp.example","tenant":"acme","tenant":"bolt"}').toString('base64url')}.c`,
      'identity.malformed',
    ],
    ['no iss', jwt({ tenant: 'acme' }), 'identity.unknown_issuer'],
    ['iss that is not text', jwt({ iss: 7, tenant: 'acme' }), 'identity.unknown_issuer'],
    [
      'an issuer that nobody registered',
      jwt({ iss: 'https://no.example', tenant: 'acme' }),
      'identity.unknown_issuer',
    ],
    [
      'an issuer named like a member of every object',
      jwt({ iss: 'constructor' }),
      'identity.unknown_issuer',
    ],
    ['no tenant claim', jwt({ iss: 'https://idp.example' }), 'identity.claims'],
    [
      'a tenant that did not register this issuer',
      jwt({ iss: 'https://idp.example', tenant: 'cork' }),
      'identity.claims',
    ],
    [
      'a tenant claim that is not text',
      jwt({ iss: 'https://idp.example', tenant: ['acme'] }),
      'identity.claims',
    ],
    [
      'the own name where another value is registered',
      jwt({ iss: 'https://own.example', tenant: 'acme' }),
      'identity.claims',
    ],
    [
      'one of two tenants with the same issuer',
      jwt({ iss: 'https://idp.example', tenant: 'bolt', exp: 100 }),
      { tenant: 'bolt', expiresAt: 100_000 },
    ],
    [
      'a value of its own for the tenant',
      jwt({ iss: 'https://own.example', tenant: 'ACME Inc.' }),
      { tenant: 'acme', expiresAt: 0 },
    ],
    [
      "a workload of a trust domain that is one tenant's",
      jwt({ sub: 'spiffe://bolt.example/ns/shop', tenant: 'acme' }),
      { tenant: 'bolt', expiresAt: 0 },
    ],
    [
      'the same with an iss that nobody registered',
      jwt({ iss: 'https://spire.example', sub: 'spiffe://bolt.example/ns/shop' }),
      { tenant: 'bolt', expiresAt: 0 },
    ],
    [
      'a workload of a trust domain that nobody registered',
      jwt({ sub: 'spiffe://bolt.example.evil/ns/shop' }),
      'identity.unknown_issuer',
    ],
    [
      'a claim of its own for the tenant',
      jwt({ iss: 'https://org.example', org: 'bolt', tenant: 'acme' }),
      { tenant: 'bolt', expiresAt: 0 },
    ],
  ])('%s', (_name, token, expected) => {
    expect(peekIdentity(token, registered().issuers)).toEqual(expected);
  });

  it('refuses to choose between two tenants that claim the same tokens', () => {
    const { issuers, put } = registered();
    put('cork', 'idp', issuer('https://idp.example', { tenant_value: 'acme' }));
    const token = jwt({ iss: 'https://idp.example', tenant: 'acme' });
    expect(peekIdentity(token, issuers)).toBe('identity.claims');
  });

  it('follows changes and deletions of an issuer', () => {
    const { issuers, put } = registered();
    const token = jwt({ iss: 'https://own.example', tenant: 'ACME Inc.' });
    const before = issuers.generation();
    put('acme', 'other', issuer('https://new.example', { tenant_value: 'ACME Inc.' }));
    expect(peekIdentity(token, issuers)).toBe('identity.unknown_issuer');
    const moved = jwt({ iss: 'https://new.example', tenant: 'ACME Inc.' });
    expect(peekIdentity(moved, issuers)).toEqual({ tenant: 'acme', expiresAt: 0 });
    put('acme', 'other', null);
    expect(peekIdentity(moved, issuers)).toBe('identity.unknown_issuer');
    expect(issuers.generation()).toBe(before + 2);
  });
});
