/** Signing in with a password and a one-time code (RFC 6238), both always; a code is good once. */
import { timingSafeEqual } from 'node:crypto';

import { totpCode, totpStep } from '#contracts/totp.ts';

import type { CredentialStore } from './credentials.ts';
import type { Proof, SignInMethod } from './method.ts';
import { isPassword } from './password.ts';
import type { SignInSeal } from './seal.ts';
import type { Tries } from './tries.ts';

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
  const isCode = async (operator: string, code: string, at: number): Promise<boolean> => {
    const { totp } = await credentials.of(operator);
    const secret = totp === '' ? undefined : seal.open(operator, totp);
    const step = secret === undefined ? undefined : stepOf(secret, code, at);
    return step !== undefined && credentials.useStep(operator, step);
  };
  /** Each try counts until it has turned out right, so many at once are no more than one after the other. */
  const counted = async (name: string, at: number, right: () => Promise<boolean>) => {
    const ms = await tries.begin(name, at);
    if (ms > 0) return { is: 'wait', ms } as const;
    if (!(await right())) return REFUSED;
    await tries.forgive(name);
    return { is: 'proved', operator: name } as const;
  };
  return {
    prove: ({ name, password, code }, at) =>
      counted(name, at, async () => {
        const { password: kept } = await credentials.of(name);
        // A code is used up only beside the right password.
        return (await isPassword(password, kept)) && (await isCode(name, code, at));
      }),
    stepUp: (operator, code, at) => counted(operator, at, () => isCode(operator, code, at)),
  };
}

function isSame(one: string, other: string): boolean {
  const [left, right] = [Buffer.from(one), Buffer.from(other)];
  return left.length === right.length && timingSafeEqual(left, right);
}
