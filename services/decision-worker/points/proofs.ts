/**
 * Checks DPoP proofs (RFC 9449, section 4.3). Each is good for one request: its id is claimed by a conditional write
 * that only one worker can win, and only calls that carry a proof pay for it.
 */
import { hash } from 'node:crypto';

import { calculateJwkThumbprint, EmbeddedJWK, type JWTPayload, jwtVerify } from 'jose';

import { CLOCK_SKEW_MS } from '#contracts/call.ts';
import { IDENTITY_ALGORITHMS } from '#contracts/control.ts';
import { PROOF_SECONDS_MAX, type Sender } from '#contracts/sender.ts';
import type { KV } from '#host/nats.ts';

import type { Fault, ProveKey } from '../checks/sender.ts';
import { won } from './call-ids.ts';

const TYPE = 'dpop+jwt';
const JTI_CHARS_MAX = 256;

/** @param bucket remembers used proofs for longer than they are taken */
export function proofVerifier(bucket: Pick<KV, 'create' | 'get'>): ProveKey {
  return async (sender, token, at) => {
    let payload: JWTPayload;
    let jkt: string;
    try {
      const verified = await jwtVerify(sender.proof, EmbeddedJWK, {
        typ: TYPE,
        algorithms: [...IDENTITY_ALGORITHMS],
        currentDate: new Date(at),
        maxTokenAge: PROOF_SECONDS_MAX,
        clockTolerance: CLOCK_SKEW_MS / 1_000,
      });
      payload = verified.payload;
      jkt = await calculateJwkThumbprint(verified.protectedHeader.jwk ?? {});
    } catch (error) {
      return wrong(error instanceof Error ? error.message : '');
    }
    const detail = mismatch(payload, sender, token);
    if (detail !== '') return wrong(detail);
    // The key belongs to it: nobody can use up the ids of another's proofs.
    const key = hash('sha256', JSON.stringify([jkt, payload.jti]), 'hex');
    if ((await won(bucket.create(key, sender.request))) !== undefined) return jkt;
    const before = await bucket.get(key);
    if (before?.operation === 'PUT' && before.string() === sender.request) return jkt;
    return { fault: 'identity.proof_replayed', detail: '' };
  };
}

const wrong = (detail: string): Fault => ({ fault: 'identity.proof', detail });

/** What a signed proof does not say of this very request; empty = it is one for it. */
function mismatch(payload: JWTPayload, sender: Sender, token: string): string {
  const { jti, htm, htu, ath } = payload as Readonly<Record<string, unknown>>;
  if (typeof jti !== 'string' || jti === '' || jti.length > JTI_CHARS_MAX) return 'jti';
  if (htm !== sender.method) return 'htm';
  if (typeof htu !== 'string' || addressOf(htu) !== addressOf(sender.url)) return 'htu';
  return ath === hash('sha256', token, 'base64url') ? '' : 'ath';
}

/** Scheme, host, port and path in normal form; query and fragment do not count. */
function addressOf(url: string): string | undefined {
  const { origin, pathname } = URL.parse(url) ?? {};
  return origin === undefined ? undefined : `${origin}${pathname}`;
}
