// Signing in over a real database: what opens a session, what keeps somebody out and for how long, and how sessions end.

import { randomBytes, scryptSync } from 'node:crypto';

import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { DATABASE, prepareDatabase } from '#cli/local/database.ts';
import type { Operator } from '#contracts/control.ts';
import { totpCode, totpStep } from '#contracts/totp.ts';
import { startPostgres, type TestPostgres } from '#test/support/servers.ts';

import { AdminError } from '../../../services/admin/errors.ts';
import { type Desk, openDesk } from '../../../services/admin/sign-in/desk.ts';
import { migrateDatabase } from '../../../services/migrate/database.ts';

const PASSWORD = 'correct horse battery';
/** The same password at the least cost: a hash says its own, and there are many tests. */
const CHEAP = `$scrypt$ln=4,r=8,p=1$${Buffer.alloc(16).toString('base64').replace(/=+$/, '')}$${scryptSync(
  PASSWORD,
  Buffer.alloc(16),
  32,
  { N: 16, r: 8, p: 1 },
)
  .toString('base64')
  .replace(/=+$/, '')}`;
const SECOND = 1_000;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

let postgres: TestPostgres;
let pool: pg.Pool;
beforeAll(async () => {
  postgres = await startPostgres({ own: true });
  const password = randomBytes(12).toString('hex');
  await prepareDatabase(postgres.adminUrl, () => password);
  const url = (role: string) => {
    const made = new URL(postgres.adminUrl);
    [made.pathname, made.username, made.password] = [DATABASE, role, password];
    return made.href;
  };
  await migrateDatabase(url('countersign_migrator'));
  // With the rights of the process itself.
  pool = new pg.Pool({ connectionString: url('countersign_admin'), max: 4 });
  pool.on('error', () => undefined); // it ends with its server
  pg.types.setTypeParser(pg.types.builtins.INT8, Number);
}, 120_000);
afterAll(async () => {
  await pool?.end();
  await postgres?.stop();
});

let at = Date.UTC(2026, 0, 1);
let secret: Buffer;
let desk: Desk;
let noted: string[];
const operators = new Map<string, Operator>();
let number = 0;
let grace = '';

/** Each test has a person and a day of its own. */
beforeEach(async () => {
  at += 48 * HOUR;
  noted = [];
  grace = `grace-${++number}`;
  operators.clear();
  operators.set(grace, { id: grace, name: 'Grace', roles: ['approver'] });
  secret = randomBytes(20);
  desk = openDesk({
    pool,
    key: Buffer.alloc(32, 7),
    operators,
    now: () => at,
    record: async ({ change }) => {
      noted.push(`${change.action} ${change.target}`);
      return { revision: 'r0' as never, visible: true };
    },
  });
  await pool.query('insert into operator_credentials (operator, password) values ($1, $2)', [
    grace,
    CHEAP,
  ]);
  await desk.setSecret(grace, secret);
});

const code = (off = 0) => totpCode(secret, totpStep(at) + off);
const wrongCode = () => String((Number(code()) + 500_000) % 1_000_000).padStart(6, '0');

/** Cookie of a new session, or the code of the refusal. */
async function signIn(
  given: { name?: string; password?: string; code?: string } = {},
  address = '192.0.2.1',
): Promise<string> {
  const whole = { name: grace, password: PASSWORD, code: code(), ...given };
  return desk.signIn(whole, address).catch(refused);
}
const refused = (error: unknown): string => {
  if (error instanceof AdminError) return error.code;
  throw error;
};
const stepUp = async (given: string, session?: string) =>
  desk.stepUp(grace, given, session).then(() => 'good', refused);
const COOKIE = expect.stringMatching(/^[A-Za-z0-9_-]{43}$/);

describe('who signs in', () => {
  it.each<[name: string, given: () => Parameters<typeof signIn>[0], expected: unknown]>([
    ['with all three', () => ({}), COOKIE],
    [
      'with a code as apps show it',
      () => ({ code: `${code().slice(0, 3)} ${code().slice(3)}` }),
      COOKIE,
    ],
    ['with the code of the period before', () => ({ code: code(-1) }), COOKIE],
    ['with the code of the next period', () => ({ code: code(1) }), COOKIE],
    ['with the code of a minute ago', () => ({ code: code(-2) }), 'operator.unknown'],
    ['with the code in a minute', () => ({ code: code(2) }), 'operator.unknown'],
    ['with a wrong code', () => ({ code: wrongCode() }), 'operator.unknown'],
    ['without a code', () => ({ code: '' }), 'operator.unknown'],
    ['with a wrong password', () => ({ password: `${PASSWORD}!` }), 'operator.unknown'],
    ['without a password', () => ({ password: '' }), 'operator.unknown'],
    ['under a name that nobody has', () => ({ name: 'nobody' }), 'operator.unknown'],
    ['under a name that is no name', () => ({ name: "' or 1=1 --\u0001" }), 'operator.unknown'],
  ])('%s', async (_, given, expected) => {
    expect(await signIn(given())).toEqual(expected);
    expect(noted).toEqual(expected === COOKIE ? [`sign_in ${grace}`] : []);
  });

  it('with a password that an admin set, kept as scrypt asks for 32 MiB', async () => {
    await desk.setPassword(grace, 'another long password');
    expect(await signIn({ password: 'another long password' })).toEqual(COOKIE);
    const { rows } = await pool.query<{ password: string }>(
      'select password from operator_credentials where operator = $1',
      [grace],
    );
    expect(rows[0]?.password).toMatch(
      /^\$scrypt\$ln=15,r=8,p=3\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/,
    );
  });

  it('a password is the same however a keyboard composes its letters', async () => {
    await desk.setPassword(grace, 'Gru\u0308ne Wiese 42');
    expect(await signIn({ password: 'Gr\u00fcne Wiese 42' })).toEqual(COOKIE);
  });

  it('nobody by password alone, and nobody by code alone', async () => {
    const [half, other] = [`${grace}-half`, `${grace}-other`];
    for (const id of [half, other]) operators.set(id, { id, name: id, roles: ['approver'] });
    await desk.setPassword(half, PASSWORD);
    await desk.setSecret(other, secret);
    expect([await signIn({ name: half }), await signIn({ name: other })]).toEqual([
      'operator.unknown',
      'operator.unknown',
    ]);
  });

  it('nobody who was disabled, or is no operator any more', async () => {
    operators.set(grace, { id: grace, name: 'Grace', roles: ['approver'], disabled: true });
    expect(await signIn()).toBe('operator.unknown');
    operators.delete(grace);
    expect(await signIn({ code: code(1) })).toBe('operator.unknown');
  });
});

describe('a code', () => {
  it('is good once, also for many at once, and none before it is good after it', async () => {
    const all = await Promise.all(Array.from({ length: 4 }, () => signIn()));
    expect(all.filter((one) => one.length === 43)).toHaveLength(1);
    expect(await signIn()).toBe('operator.unknown');
    expect(await signIn({ code: code(-1) })).toBe('operator.unknown');
    expect(await signIn({ code: code(1) })).toEqual(COOKIE);
  });

  it('that signed somebody in is no second factor any more', async () => {
    await signIn();
    expect(await stepUp(code())).toBe('sign_in.code');
    at += 30 * SECOND;
    expect(await stepUp(code())).toBe('good');
  });

  it('is not used up beside a wrong password', async () => {
    expect(await signIn({ password: 'wrong' })).toBe('operator.unknown');
    expect(await signIn()).toEqual(COOKIE);
  });

  it('makes the second factor of its own session fresh, and of no other', async () => {
    const [one, other] = [await signIn(), await signIn({ code: code(1) })];
    at += 10 * MINUTE;
    const seat = await desk.seatOf(one);
    expect(await stepUp(code(), seat?.session.id)).toBe('good');
    expect((await desk.seatOf(one))?.session.steppedUpAt).toBe(at);
    expect((await desk.seatOf(other))?.session.steppedUpAt).toBe(at - 10 * MINUTE);
  });

  it('rests encrypted, for its own person only', async () => {
    const { rows } = await pool.query<{ totp: string }>(
      'select totp from operator_credentials where operator = $1',
      [grace],
    );
    const sealed = rows[0]?.totp ?? '';
    expect(Buffer.from(sealed, 'base64url').includes(secret)).toBe(false);
    expect(Buffer.from(desk.seal.open(grace, sealed) ?? [])).toEqual(secret);
    expect(desk.seal.open('somebody-else', sealed)).toBeUndefined();
  });
});

describe('wrong tries', () => {
  const wrong = async (times: number) => {
    const said: string[] = [];
    for (let time = 0; time < times; time += 1) said.push(await signIn({ code: wrongCode() }));
    return said;
  };

  it('lock a name after five, for 30 seconds and then longer, also for who knows everything', async () => {
    expect(await wrong(6)).toEqual([...Array(5).fill('operator.unknown'), 'sign_in.wait']);
    expect(await signIn()).toBe('sign_in.wait');
    at += 31 * SECOND;
    expect(await wrong(2)).toEqual(['operator.unknown', 'sign_in.wait']);
    at += 31 * SECOND;
    expect(await signIn()).toBe('sign_in.wait');
    at += 30 * SECOND;
    expect(await signIn()).toEqual(COOKIE);
  });

  it('at once are no more than one after the other', async () => {
    const said = await Promise.all(Array.from({ length: 12 }, () => signIn({ code: wrongCode() })));
    expect(said.filter((one) => one === 'operator.unknown').length).toBeLessThanOrEqual(5);
  });

  it('do not count any more after a right one', async () => {
    await wrong(4);
    expect(await signIn()).toEqual(COOKIE);
    expect(await wrong(4)).not.toContain('sign_in.wait');
  });

  it('lock a name that nobody has just the same', async () => {
    const said: string[] = [];
    for (let time = 0; time < 6; time += 1) said.push(await signIn({ name: `${grace}-none` }));
    expect(said.at(-1)).toBe('sign_in.wait');
  });

  it('at the door do not stop the second factor of who is inside, nor the other way round', async () => {
    await wrong(6);
    expect(await stepUp(code())).toBe('good');
    at += 2 * HOUR;
    const said: string[] = [];
    for (let time = 0; time < 6; time += 1) said.push(await stepUp(wrongCode()));
    expect(said).toEqual([...Array(5).fill('sign_in.code'), 'sign_in.wait']);
    expect(await signIn()).toEqual(COOKIE);
  });
});

describe('a session', () => {
  const isOpen = async (cookie: string) => (await desk.seatOf(cookie)) !== undefined;

  it('is a cookie of 32 random bytes, of which only a hash is kept', async () => {
    const cookie = await signIn();
    const { rows } = await pool.query<{ id: string }>(
      'select id from operator_sessions where operator = $1',
      [grace],
    );
    expect(rows.map(({ id }) => id)).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/)]);
    expect(await desk.seatOf(cookie)).toEqual({
      session: { id: rows[0]?.id, operator: grace, steppedUpAt: at },
      operator: operators.get(grace),
    });
    expect(await isOpen(rows[0]?.id ?? '')).toBe(false);
  });

  it.each(['', 'x', 'A'.repeat(43), "'; drop table operator_sessions; --"])(
    'is not %j',
    async (cookie) => {
      expect(await isOpen(cookie)).toBe(false);
    },
  );

  it('ends after half an hour of rest, and after eight hours whatever happens', async () => {
    const [resting, busy] = [await signIn(), await signIn({ code: code(1) })];
    at += 31 * MINUTE;
    expect(await isOpen(resting)).toBe(false);
    at -= 31 * MINUTE;
    for (let rest = 0; rest < 8 * 60; rest += 20) {
      expect(await isOpen(busy)).toBe(true);
      at += 20 * MINUTE;
    }
    at += SECOND;
    expect(await isOpen(busy)).toBe(false);
  });

  it.each<[how: string, end: (session: string) => Promise<unknown>]>([
    ['signing out', (session) => desk.signOut(session)],
    ['a new password', () => desk.setPassword(grace, 'another long password')],
    ['new codes', () => desk.setSecret(grace, randomBytes(20))],
    [
      'an admin who disables the person',
      async () => operators.set(grace, { ...operators.get(grace)!, disabled: true }),
    ],
    ['an admin who deletes the person', async () => operators.delete(grace)],
  ])('ends by %s', async (_, end) => {
    const cookie = await signIn();
    const seat = await desk.seatOf(cookie);
    await end(seat?.session.id ?? '');
    expect(await isOpen(cookie)).toBe(false);
  });

  it('has a form token that fits no other', async () => {
    const tokens = ['one', 'two'].map((session) => desk.seal.formToken(session));
    expect(desk.seal.isFormToken('one', tokens[0] ?? '')).toBe(true);
    for (const given of [tokens[1] ?? '', '', `${tokens[0]}x`])
      expect(desk.seal.isFormToken('one', given)).toBe(false);
  });

  it('leaves nothing to whoever gets the id later', async () => {
    const cookie = await signIn();
    await desk.forget(grace);
    expect([await isOpen(cookie), await signIn({ code: code(1) })]).toEqual([
      false,
      'operator.unknown',
    ]);
  });
});

it('without its database nobody signs in, and it says that this is why', async () => {
  const away = new pg.Pool({ connectionString: 'postgres://127.0.0.1:1/none' });
  const closed = openDesk({
    pool: away,
    key: Buffer.alloc(32, 7),
    operators,
    record: () => Promise.reject(new Error('not reached')),
  });
  const given = { name: grace, password: PASSWORD, code: code() };
  expect(await closed.signIn(given, '192.0.2.1').catch(refused)).toBe('sign_in.unavailable');
  expect(await closed.seatOf('A'.repeat(43)).catch(refused)).toBe('sign_in.unavailable');
  await away.end();
});
