// Keys that an issuer publishes at an address: fetched when a token needs them, again when it signs with a new one.

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';

import { type ControlEntry, CONTROL_KEYS } from '#contracts/control.ts';
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

/** The verifier over a view that holds this one issuer. */
function verifier(): (token: string) => Promise<string> {
  const value = {
    issuer: ISSUER,
    jwks_uri: `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`,
    audiences: ['countersign'],
  };
  const entry: ControlEntry = { sequence: 1, at: 0, value };
  const view: Pick<ControlView, 'onChange'> = {
    onChange: (listener) => listener(CONTROL_KEYS.issuer(ACME, 'idp'), entry),
  };
  const verify = identityVerifier(view as ControlView);
  return async (token) => {
    const identity = await verify(token, ACME, Date.now());
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
  answers = true;
  expect(await verify(token)).toBe('agent-of-first');
  const before = fetched;
  expect(await verify(token)).toBe('agent-of-first');
  expect(fetched).toBe(before);
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
