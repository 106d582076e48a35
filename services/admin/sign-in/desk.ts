/** Where people sign in, prove themselves anew and sign out. Who they are and what they may is asked of the operators each time. */
import type pg from 'pg';

import type { Operator } from '#contracts/control.ts';
import { PLATFORM } from '#contracts/ids.ts';

import type { RecordChange } from '../change.ts';
import { AdminError } from '../errors.ts';
import { wrongTries } from '../wrong-tries.ts';
import { credentialStore } from './credentials.ts';
import type { Given, Proof, SignInMethod } from './method.ts';
import { passwordAndCode } from './password-and-code.ts';
import { Busy, hashPassword } from './password.ts';
import { type SignInSeal, signInSeal } from './seal.ts';
import { type Session, sessionsIn } from './sessions.ts';
import { triesIn } from './tries.ts';

/** A person with an open session. */
export interface Seat {
  readonly session: Session;
  readonly operator: Operator;
}

export interface Desk {
  /** The cookie of a new session. Untrusted: all of it. @throws AdminError sign_in.* */
  readonly signIn: (given: Given, address: string) => Promise<string>;
  /** Who has this cookie; undefined for nobody, and for a person who is no operator any more. */
  readonly seatOf: (cookie: string) => Promise<Seat | undefined>;
  /** A fresh second factor of an operator: the time of it. @throws AdminError sign_in.* */
  readonly stepUp: (operator: string, code: string, session?: string) => Promise<number>;
  readonly signOut: (session: string) => Promise<void>;
  /** Both end the person's sessions. @throws AdminError sign_in.* */
  readonly setPassword: (operator: string, password: string) => Promise<void>;
  readonly setSecret: (operator: string, secret: Uint8Array) => Promise<void>;
  readonly endSessions: (operator: string) => Promise<void>;
  /** Ends their sessions and takes what proves them: whoever gets their id later starts with nothing. */
  readonly forget: (operator: string) => Promise<void>;
  readonly seal: SignInSeal;
}

export interface DeskParts {
  readonly pool: pg.Pool;
  readonly key: Uint8Array;
  readonly operators: ReadonlyMap<string, Operator>;
  readonly record: RecordChange;
  readonly now?: () => number;
}

export function openDesk({ pool, key, operators, record, now = Date.now }: DeskParts): Desk {
  const seal = signInSeal(key);
  const [credentials, sessions, tries] = [credentialStore(pool), sessionsIn(pool), triesIn(pool)];
  const method: SignInMethod = passwordAndCode({ credentials, tries, seal });
  const wrong = wrongTries(now);
  const note = (operator: string, action: string) =>
    record({
      tenant: PLATFORM,
      by: operator,
      change: { kind: 'session', action, target: operator, value: null },
    });
  return {
    seal,
    setPassword: async (operator, password) => {
      const hashed = await stored(hashPassword(password));
      await stored(credentials.setPassword(operator, hashed));
      await stored(tries.forgive('sign in', operator));
      await stored(sessions.closeAllOf(operator));
    },
    setSecret: async (operator, secret) => {
      await stored(credentials.setSecret(operator, seal.seal(operator, secret)));
      await stored(tries.forgive('step up', operator));
      await stored(sessions.closeAllOf(operator));
    },
    endSessions: async (operator) => stored(sessions.closeAllOf(operator)),
    forget: async (operator) => {
      await stored(sessions.closeAllOf(operator));
      await stored(credentials.remove(operator));
    },
    signIn: async (given, address) => {
      const at = now();
      const proof = await stored(method.prove(given, at));
      if (proof.is !== 'proved') {
        if (wrong(address)) throw waiting(60_000);
        throw refusalOf(proof, 'operator.unknown');
      }
      const { operator: id } = proof;
      if (isGone(operators.get(id))) throw new AdminError('operator.unknown');
      // A session that is not in the chain is none.
      await note(id, 'sign_in');
      return stored(sessions.open(id, at));
    },
    seatOf: async (cookie) => {
      const session = await stored(sessions.find(cookie, now()));
      const operator = session && operators.get(session.operator);
      if (session === undefined || operator === undefined || isGone(operator)) return undefined;
      return { session, operator };
    },
    stepUp: async (operator, code, session) => {
      const at = now();
      const proof = await stored(method.stepUp(operator, code, at));
      if (proof.is !== 'proved') throw refusalOf(proof, 'sign_in.code');
      if (session !== undefined) await stored(sessions.stepUp(session, at));
      return at;
    },
    signOut: async (session) => stored(sessions.close(session)),
  };
}

/** @throws AdminError sign_in.unavailable where nobody signs in */
export function opened(desk: Desk | undefined): Desk {
  if (desk === undefined) throw new AdminError('sign_in.unavailable');
  return desk;
}

const isGone = (operator: Operator | undefined): boolean =>
  operator === undefined || operator.disabled === true;

const waiting = (ms: number): AdminError =>
  new AdminError('sign_in.wait', '', { retryAfterS: Math.ceil(ms / 1_000) });

const refusalOf = (
  proof: Exclude<Proof, { is: 'proved' }>,
  code: 'operator.unknown' | 'sign_in.code',
): AdminError => (proof.is === 'wait' ? waiting(proof.ms) : new AdminError(code));

/** Whatever fails there is the database's, or too much at once. @throws AdminError sign_in.unavailable */
async function stored<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    if (cause instanceof AdminError) throw cause;
    throw cause instanceof Busy
      ? waiting(1_000)
      : new AdminError('sign_in.unavailable', '', { cause });
  }
}
