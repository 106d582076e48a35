// Keys that an issuer publishes at an address: fetched when a token needs them, again when it signs with a new one.

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';

import { type ControlEntry, CONTROL_KEYS, type Issuer } from '#contracts/control.ts';
import type { TenantId } from '#contracts/ids.ts';
import type { ControlView } from '#host/control-view.ts';

import { identityVerifier } from '../../../services/decision-worker/points/issuers.ts';

const ACME = 'acme' as TenantId;
const ISSUER = 'https://idp.example';

let server: Server;
let keys: JWK[] = [];
let answers = true;
let fetched = 0;
beforeAll(async () => {
  server = createServer((_, response) => {
    fetched += 1;
    if (!answers) return void response.destroy();
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(() => server.close());
afterEach(() => vi.useRealTimers());

const address = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`;

/** The verifier over a view that holds this one issuer. */
function verifier(change: Partial<Issuer> = {}): (token: string, at?: number) => Promise<string> {
  const value: Issuer = { issuer: ISSUER, audiences: ['countersign'], ...change };
  if (value.jwks === undefined) value.jwks_uri = address();
  const entry: ControlEntry = { sequence: 1, at: 0, value };
  const view: Pick<ControlView, 'onChange'> = {
    onChange: (listener) => listener(CONTROL_KEYS.issuer(ACME, 'idp'), entry),
  };
  const verify = identityVerifier(view as ControlView);
  return async (token, at = Date.now()) => {
    const identity = await verify(token, ACME, at);
    return 'fault' in identity ? identity.fault : identity.claims.agent;
  };
}

async function signer(kid: string) {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const token = await new SignJWT({ tenant: ACME })
    .setProtectedHeader({ alg: 'ES256', kid })
    .setIssuer(ISSUER)
    .setAudience('countersign')
    .setSubject(`agent-of-${kid}`)
    .setExpirationTime('1h')
    .sign(privateKey);
  return { token, jwk: { ...(await exportJWK(publicKey)), kid, alg: 'ES256' } };
}

it('are had when they can be had, and until then their tokens are refused', async () => {
  const { token, jwk } = await signer('first');
  keys = [jwk];
  const verify = verifier();
  answers = false;
  expect(await verify(token)).toBe('identity.keys_unavailable');
  // An address that fails is not asked again by every token, but after a pause.
  const asked = fetched;
  expect(await verify(token)).toBe('identity.keys_unavailable');
  expect(fetched).toBe(asked);
  answers = true;
  await expect.poll(() => verify(token)).toBe('agent-of-first');
  const before = fetched;
  expect(await verify(token)).toBe('agent-of-first');
  expect(fetched).toBe(before);
});

it('are fetched once for any number of tokens with made-up key ids', async () => {
  const [known, ...madeUp] = await Promise.all(['known', 'x', 'y', 'z'].map(signer));
  keys = known === undefined ? [] : [known.jwk];
  const verify = verifier();
  expect(await verify(known?.token ?? '')).toBe('agent-of-known');
  const before = fetched;
  const said = await Promise.all(madeUp.map(({ token }) => verify(token)));
  expect([said, fetched - before]).toEqual([madeUp.map(() => 'identity.signature'), 0]);
});

it('rotate by themselves: the new one is fetched, and a withdrawn one ends within minutes', async () => {
  const [first, second] = [await signer('first'), await signer('second')];
  keys = [first.jwk];
  const verify = verifier();
  expect(await verify(first.token)).toBe('agent-of-first');
  keys = [second.jwk];
  // jose waits 30 s between two fetches, so that tokens with made-up key ids fetch nothing; it reads the clock itself.
  expect(await verify(second.token)).toBe('identity.signature');
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 31_000 });
  expect(await verify(second.token)).toBe('agent-of-second');
  expect(await verify(first.token)).toBe('agent-of-first'); // verified before, kept for five minutes
  vi.setSystemTime(Date.now() + 5 * 60_000);
  expect(await verify(first.token)).toBe('identity.signature');
  expect(await verify(second.token)).toBe('agent-of-second');
});

describe('a token', () => {
  const AT = 1_800_000_000;

  async function signed(alg: string, claims: object) {
    const { publicKey, privateKey } = await generateKeyPair(alg);
    const token = await new SignJWT({ tenant: ACME, sub: 'agent', ...claims })
      .setProtectedHeader({ alg, kid: 'k' })
      .setIssuer(ISSUER)
      .setAudience('countersign')
      .sign(privateKey);
    return { token, jwks: { keys: [{ ...(await exportJWK(publicKey)), kid: 'k' }] } };
  }

  // Five seconds between the clocks, both ways; when it is verified, and when it has been verified before.
  it.each<[string, object, number, string]>([
    ['that ended 4 s ago', { exp: AT - 4 }, AT, 'agent'],
    ['that ended 5 s ago', { exp: AT - 5 }, AT, 'identity.expired'],
    ['that begins in 5 s', { exp: AT + 60, nbf: AT + 5 }, AT, 'agent'],
    ['that begins in 6 s', { exp: AT + 60, nbf: AT + 6 }, AT, 'identity.not_yet_valid'],
    ['without an end', {}, AT, 'identity.claims'],
  ])('%s', async (_, claims, at, expected) => {
    const { token, jwks } = await signed('ES256', claims);
    const verify = verifier({ jwks });
    expect(await verify(token, at * 1_000)).toBe(expected);
    expect(await verify(token, at * 1_000)).toBe(expected);
  });

  it('that holds now ends at its time, though its signature was checked before', async () => {
    const { token, jwks } = await signed('ES256', { exp: AT, nbf: AT - 60 });
    const verify = verifier({ jwks });
    const said = [];
    for (const at of [AT, AT + 4, AT + 5, AT - 66, AT - 65])
      said.push(await verify(token, at * 1_000));
    expect(said).toEqual(['agent', 'agent', 'identity.expired', 'identity.not_yet_valid', 'agent']);
  });

  it.each([
    ['EdDSA', undefined, 'agent'],
    ['PS256', undefined, 'agent'],
    ['RS256', ['ES256', 'RS256'], 'agent'],
    ['EdDSA', ['ES256'], 'identity.algorithm'],
    ['RS256', ['ES256'], 'identity.algorithm'],
    ['ES256', ['HS256'], 'identity.algorithm'],
  ] as const)('signed with %s where %s are accepted', async (alg, algorithms, expected) => {
    const { token, jwks } = await signed(alg, { exp: AT + 60 });
    const accepted = algorithms === undefined ? {} : { algorithms: [...algorithms] };
    expect(await verifier({ jwks, ...accepted })(token, AT * 1_000)).toBe(expected);
  });
});

describe('a JWT-SVID', () => {
  const WORKLOAD = 'spiffe://acme.example/ns/shop/sa/bot';
  const mesh = { kind: 'jwt-svid', issuer: 'spiffe://acme.example' } as const;

  async function svid(claims: Record<string, unknown> = {}, alg = 'ES256', typ?: string) {
    const { publicKey, privateKey } = await generateKeyPair(alg);
    const token = await new SignJWT({ sub: WORKLOAD, aud: ['countersign'], ...claims })
      .setProtectedHeader({ alg, kid: 'spire', ...(typ === undefined ? {} : { typ }) })
      .setExpirationTime('5m')
      .sign(privateKey);
    return { token, jwk: { ...(await exportJWK(publicKey)), kid: 'spire' } };
  }
  const use = (jwk: JWK, what: string) => ({ jwks: { keys: [{ ...jwk, use: what }] } });

  it.each<[string, Record<string, unknown>, string]>([
    ['without iss', {}, WORKLOAD],
    ['with the iss of its server', { iss: 'https://spire.example' }, WORKLOAD],
    [
      'of another trust domain',
      { sub: 'spiffe://bolt.example/ns/shop' },
      'identity.unknown_issuer',
    ],
    ['whose id is the trust domain alone', { sub: mesh.issuer }, 'identity.unknown_issuer'],
    ['whose id leaves its path', { sub: `${mesh.issuer}/ns/../admin` }, 'identity.unknown_issuer'],
    ['whose id is no text', { sub: 7 }, 'identity.unknown_issuer'],
    ['for another audience', { aud: ['elsewhere'] }, 'identity.audience'],
    ['for nobody', { aud: undefined }, 'identity.audience'],
  ])('%s', async (_, claims, expected) => {
    const { token, jwk } = await svid(claims);
    expect(await verifier({ ...mesh, ...use(jwk, 'jwt-svid') })(token)).toBe(expected);
  });

  it('is proved by the keys for JWT-SVIDs alone, also of a fetched bundle', async () => {
    const { token, jwk } = await svid();
    expect(await verifier({ ...mesh, ...use(jwk, 'x509-svid') })(token)).toBe('identity.signature');
    keys = [{ ...jwk, use: 'jwt-svid' }];
    expect(await verifier(mesh)(token)).toBe(WORKLOAD);
    keys = [{ ...jwk, use: 'x509-svid' }];
    expect(await verifier(mesh)(token)).toBe('identity.signature');
  });

  it.each([
    ['JWT', WORKLOAD],
    ['JOSE', WORKLOAD],
    ['at+jwt', 'identity.malformed'],
    ['wit+jwt', 'identity.malformed'],
  ])('of the type %s', async (typ, expected) => {
    const { token, jwk } = await svid({}, 'ES256', typ);
    expect(await verifier({ ...mesh, ...use(jwk, 'jwt-svid') })(token)).toBe(expected);
  });

  it('is signed with an algorithm of its standard', async () => {
    const { token, jwk } = await svid({}, 'EdDSA');
    expect(await verifier({ ...mesh, ...use(jwk, 'jwt-svid') })(token)).toBe('identity.algorithm');
  });

  it('names its tenant where a claim was registered for it', async () => {
    const shared = { ...mesh, claims: { tenant: 'org' } };
    const { token, jwk } = await svid({ org: 'bolt' });
    expect(await verifier({ ...shared, ...use(jwk, 'jwt-svid') })(token)).toBe('identity.claims');
  });
});
