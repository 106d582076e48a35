/** Signing in with a password and a one-time code (RFC 6238), both always; a code is good once. */
import { timingSafeEqual } from 'node:crypto';

import { totpCode, totpStep } from '#contracts/totp.ts';

import type { Credentials, CredentialStore } from './credentials.ts';
import type { Proof, SignInMethod } from './method.ts';
import { isPassword } from './password.ts';
import type { SignInSeal } from './seal.ts';
import type { Tries, TryKind } from './tries.ts';

/** A clock may be one period before or behind ours. */
const STEPS_OFF = [0, -1, 1];
const REFUSED: Proof = { is: 'refused' };

export function passwordAndCode({
  credentials,
  tries,
  seal,
}: {
  readonly credentials: CredentialStore;
  readonly tries: Tries;
  readonly seal: SignInSeal;
}): SignInMethod {
  /** The period whose code this is, undefined for a wrong code. */
  const stepOf = (secret: Uint8Array, code: string, at: number): number | undefined => {
    const steps = STEPS_OFF.map((off) => totpStep(at) + off);
    return steps.find((step) => isSame(totpCode(secret, step), code.replaceAll(' ', '')));
  };
  const periodOf = (
    operator: string,
    { totp }: Credentials,
    given: { code: string; at: number },
  ) => {
    const secret = totp === '' ? undefined : seal.open(operator, totp);
    return secret === undefined ? undefined : stepOf(secret, given.code, given.at);
  };
  /** Each try counts until it has turned out right, so many at once are no more than one after the other. */
  const counted = async (
    kind: TryKind,
    { name, at }: { readonly name: string; readonly at: number },
    right: () => Promise<boolean>,
  ): Promise<Proof> => {
    const ms = await tries.begin(kind, name, at);
    if (ms > 0) return { is: 'wait', ms };
    if (!(await right())) return REFUSED;
    await tries.forgive(kind, name);
    return { is: 'proved', operator: name };
  };
  return {
    prove: ({ name, password, code }, at) =>
      counted('sign in', { name, at }, async () => {
        const known = await credentials.of(name);
        // Both are looked at before either counts, so the time does not tell which of them was wrong.
        const step = periodOf(name, known, { code, at });
        const fits = await isPassword(password, known.password);
        // A code is used up only beside the right password.
        return fits && step !== undefined && credentials.useStep(name, step);
      }),
    stepUp: (operator, code, at) =>
      counted('step up', { name: operator, at }, async () => {
        const step = periodOf(operator, await credentials.of(operator), { code, at });
        return step !== undefined && credentials.useStep(operator, step);
      }),
  };
}

function isSame(one: string, other: string): boolean {
  const [left, right] = [Buffer.from(one), Buffer.from(other)];
  return left.length === right.length && timingSafeEqual(left, right);
}
