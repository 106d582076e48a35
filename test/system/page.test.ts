// The pages of people over the whole system: who gets in, what they see, and that a decision is theirs and counts once.

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { CHECKOUT } from '#cli/local/places.ts';
import type { ApprovalPreview } from '#contracts/held.ts';
import { PAGE_HEADERS } from '#host/html.ts';
import { CHROMIUM, startBrowser, WITHOUT_BROWSER } from '#test/support/browser.ts';
import { type Live, startLive } from '#test/support/live.ts';
import { codesOf, type Page, valueOf, type Visitor, visitor } from '#test/support/visitor.ts';

/** Grace and heidi may approve, vera may look, and the demo's agent acts for alice. */
type Name = 'grace' | 'heidi' | 'vera' | 'alice';
interface Person {
  readonly visitor: Visitor;
  readonly password: string;
  readonly code: () => Promise<string>;
}

let live: Live;
let base: string;
const people = new Map<Name, Person>();
const person = (name: Name): Person => people.get(name)!;

/** The admin API as ada. */
async function api(method: string, path: string, body?: object) {
  const { status, body: answer } = await live.admin(method, `../../${path}`, body);
  return { status, body: answer as Record<string, unknown> };
}

beforeAll(async () => {
  live = await startLive();
  base = live.system.urls.admin;
  const grace = live.system.secrets.signIns.find(({ id }) => id === 'grace')!;
  const meet = async (name: Name, password: string, totp: string) => {
    const one = { visitor: visitor(base), password, code: codesOf(totp) };
    people.set(name, one);
    await signIn(one, name);
  };
  await meet('grace', grace.password, grace.totp);
  const identities = [{ issuer: 'demo-idp', subject: 'alice@shop.example' }];
  await api('PUT', 'operators/vera', { name: 'Vera', roles: ['viewer'] });
  await api('PUT', 'operators/alice', { name: 'Alice', roles: ['approver'], identities });
  for (const name of ['vera', 'alice'] as const) {
    const password = `the password of ${name}`;
    await api('PUT', `operators/${name}/password`, { password });
    const { body } = await api('PUT', `operators/${name}/totp`, {});
    await meet(name, password, String(body['secret']));
  }
}, 180_000);
afterAll(() => live?.close());

const signIn = async ({ visitor: at, password, code }: Person, name: string): Promise<Page> =>
  at.post('/sign-in', { name, password, code: await code() });

let amount = 400;
/** A refund that waits, once all of it can be shown. */
async function hold(more: Record<string, unknown> = {}) {
  const call = { tool: 'refund_order', arguments: { order_id: 'ord_1002', amount: (amount += 1) } };
  const { body } = await live.call({ ...call, ...more });
  const id = String(body['approval_id']);
  await expect.poll(async () => (await preview(id)).missing, { timeout: 30_000 }).toEqual([]);
  return { id, path: `/approvals/demo/${id}`, again: async () => live.call({ ...call, ...more }) };
}

const preview = async (id: string): Promise<ApprovalPreview> =>
  (await live.admin('GET', `approvals/${id}`)).body as unknown as ApprovalPreview;

describe('a page', () => {
  it.each(['/sign-in', '/approvals', '/page.css', '/page.js', '/page.svg', '/approvals/demo/none'])(
    '%s runs nothing but our own files, in no frame, and is kept nowhere',
    async (path) => {
      const { headers, text } = await person('grace').visitor.get(path);
      const sent = Object.fromEntries(
        Object.keys(PAGE_HEADERS).map((name) => [name, headers.get(name)]),
      );
      expect(sent).toEqual(PAGE_HEADERS);
      expect(sent['content-security-policy']).toMatch(
        /^default-src 'none'; .*frame-ancestors 'none'/,
      );
      expect(sent['content-security-policy']).not.toMatch(/unsafe|\*|data:/);
      if (path.startsWith('/page')) return;
      expect(text).not.toMatch(/<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=/i);
      expect(
        [...text.matchAll(/(?:src|href|action)="([^"]*)"/g)].map(([, place = '']) => place[0]),
      ).not.toContain('h');
    },
  );

  it('takes nobody who is not signed in further than the door, and then back', async () => {
    const { path } = await hold();
    const stranger = visitor(base);
    const { status, headers } = await stranger.get(path);
    expect([status, headers.get('location')]).toEqual([
      303,
      `/sign-in?next=${encodeURIComponent(path)}`,
    ]);
    expect((await stranger.get(headers.get('location') ?? '')).text).toContain(`value="${path}"`);
    expect((await stranger.post(`${path}/approve`, {})).headers.get('location')).toMatch(
      /^\/sign-in/,
    );
  });

  it('sets a cookie that no script reads and no other site sends with a form', async () => {
    const { visitor: at, password, code } = person('vera');
    const answer = await at.post('/sign-in', { name: 'vera', password, code: await code() });
    expect(answer.headers.get('set-cookie')).toMatch(
      /^countersign=[A-Za-z0-9_-]{43}; Path=\/; HttpOnly; SameSite=Lax$/,
    );
  });

  it('takes no operator token, and the API takes no cookie', async () => {
    const { visitor: at } = person('grace');
    const { id, path } = await hold();
    const withCookie = await fetch(new URL(`/v1/tenants/demo/approvals/${id}/deny`, base), {
      method: 'POST',
      headers: { cookie: at.cookie(), 'content-type': 'application/json' },
      body: '{}',
    });
    expect(withCookie.status).toBe(401);
    const { operator_token_files: files } = live.system.seeded()!.demo;
    const authorization = `Bearer ${(await readFile(files[0] ?? '', 'utf8')).trim()}`;
    const withToken = await fetch(new URL(path, base), {
      headers: { authorization },
      redirect: 'manual',
    });
    expect(withToken.status).toBe(303);
  });
});

describe('a held call', () => {
  it('is shown whole: effect, every argument, why, who, what came before, who was asked', async () => {
    const session_id = 'night-shift';
    await live.call({ tool: 'lookup_order', arguments: { order_id: 'ord_1002' }, session_id });
    const { id, path } = await hold({ session_id });
    const text = seen((await person('grace').visitor.get(path)).text);
    const shown = await preview(id);
    for (const part of [
      shown.effect,
      'medium risk',
      `amount ${amount}`,
      'order_id "ord_1002"',
      'Refunds up to 100 EUR run at once; this one waits for a person.',
      'refund_over_limit',
      'Data classes money-out',
      'Agent shop-agent (support)',
      'For alice@shop.example',
      'Session night-shift',
      'What happened before in this session allow lookup_order policy.allowed',
      '1 of Ada (ada), Grace (grace)',
      'Alice (alice) asked for it, and cannot approve it.',
      shown.shown,
    ])
      expect(text).toContain(part);
    expect((await person('grace').visitor.get(`/approvals/${id}`)).headers.get('location')).toBe(
      path,
    );
  });

  it('cannot say anything by itself: words of an agent neither act nor hide nor pass for ours', async () => {
    // Without a schema the tool takes any arguments, as those of many servers do.
    await live.admin('PUT', 'tools', { tools: [{ name: 'refund_order', upstream: 'shop' }] });
    const evil =
      '</blockquote><script>alert(1)</script><img src=x onerror=alert(1)>\u202Eon txet\u2066\u200B';
    const args = {
      order_id: 'ord_1002',
      amount: (amount += 1),
      note: `${evil}\n${'A'.repeat(20_000)}END`,
      ['<b>\u202Ename']: [evil],
    };
    const purpose = `${evil} ${'please '.repeat(200)}`;
    const { id, path } = await hold({ arguments: args, intent: { purpose } });
    const { text } = await person('grace').visitor.get(path);
    expect(text).not.toMatch(/<script>|<img|[\u202A-\u202E\u2066-\u2069\u200B]/);
    expect(text).toContain('&lt;script&gt;alert(1)&lt;/script&gt;');
    const plain = seen(text);
    expect(plain).toContain(
      'Untrusted: the purpose as the agent itself states it. Nobody has proved it.',
    );
    expect(plain).toMatch(/U\+202Eon txetU\+2066U\+200B/);
    expect(plain).toContain(`${'A'.repeat(20_000)}END`);
    const quoted = /<blockquote>([\s\S]*?)<\/blockquote>/.exec(text)?.[1] ?? '';
    expect(seen(quoted).length).toBeLessThan(600);
    // What a person edits has the same meaning, and hides nothing either.
    const given = /<textarea[^>]*id="arguments"[^>]*>([\s\S]*?)<\/textarea/.exec(text)?.[1] ?? '';
    expect(JSON.parse(unescaped(given))).toEqual(args);
    expect((await preview(id)).missing).toEqual([]);
  });

  it('that cannot be shown whole cannot be approved, whatever is sent; but declined it can be', async () => {
    const { id, path } = await hold();
    const { visitor: at } = person('grace');
    const { shown } = await preview(id);
    await live.sql(
      'update approvals set payload = set_byte(payload, 99, 255 - get_byte(payload, 99)) where id = $1',
      [id],
    );
    const { text } = await at.get(path);
    expect(text).toContain('Not everything can be shown yet: the call itself.');
    expect(text).not.toMatch(/\/(approve|edit)"/);
    for (const sent of [shown, '']) {
      expect((await at.post(`${path}/approve`, { shown: sent })).status).toBe(409);
    }
    expect((await preview(id)).state).toBe('pending');
    expect((await at.post(`${path}/deny`, { reason: '' })).status).toBe(303);
    expect((await preview(id)).state).toBe('denied');
  });
});

describe('a decision', () => {
  it.each<
    [name: string, expected: number, how: { form?: string; headers?: Record<string, string> }]
  >([
    ['without the token of the session', 403, { form: '' }],
    ['with the token of another session', 403, { form: 'of vera' }],
    ['from another site', 403, { headers: { origin: 'https://evil.example' } }],
    ['from nowhere that a browser would name', 403, { headers: { origin: 'null' } }],
    ['from another site, as browsers say it', 403, { headers: { 'sec-fetch-site': 'cross-site' } }],
    ['from another port of this machine', 403, { headers: { 'sec-fetch-site': 'same-site' } }],
    ['as no form', 415, { headers: { 'content-type': 'text/plain' } }],
  ])('%s is none', async (_, expected, { form, headers }) => {
    const { id, path } = await hold();
    const { visitor: at } = person('grace');
    await at.get(path);
    const { shown } = await preview(id);
    const tokens: Record<string, string> = { '': '', 'of vera': await tokenOf('vera', path) };
    const fields = form === undefined ? { shown } : { shown, form: tokens[form] ?? '' };
    const answer = await at.post(`${path}/approve`, fields, headers);
    expect([answer.status, (await preview(id)).state]).toEqual([expected, 'pending']);
  });

  it('is no address: nothing that is opened decides', async () => {
    const { id, path } = await hold();
    const { visitor: at } = person('grace');
    await at.get(path);
    const query = new URLSearchParams({ form: at.formToken(), shown: (await preview(id)).shown });
    for (const verb of ['approve', 'deny', 'edit', 'acknowledge'])
      expect((await at.get(`${path}/${verb}?${query.toString()}`)).status).toBe(404);
    expect((await preview(id)).state).toBe('pending');
  });

  it.each<[name: Name, told: string, why: string]>([
    [
      'vera',
      'You may look at it. Deciding takes the role approver.',
      'Your roles do not allow this.',
    ],
    [
      'alice',
      'You asked for this call, or it runs on your behalf: another person has to approve it.',
      'You asked for this call',
    ],
  ])('is not for %s', async (name, told, why) => {
    const { id, path } = await hold();
    const { visitor: at } = person(name);
    const { text } = await at.get(path);
    expect(seen(text)).toContain(told);
    expect(text).not.toContain(`${path}/approve`);
    const answer = await at.post(`${path}/approve`, { shown: (await preview(id)).shown });
    expect([answer.status, (await preview(id)).votes]).toEqual([403, []]);
    expect(seen(answer.text)).toContain(why);
  });

  it('counts once, however often it is sent; the call runs once', async () => {
    const { id, path, again } = await hold();
    const { visitor: at } = person('grace');
    const { text } = await at.get(path);
    const shown = valueOf(text, 'shown');
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => at.post(`${path}/approve`, { shown })),
    );
    expect(
      new Set(answers.map(({ status, headers }) => `${status} ${headers.get('location')}`)),
    ).toEqual(new Set([`303 ${path}`]));
    const { state, votes } = await preview(id);
    expect([state, votes.map(({ by, via }) => [by, via])]).toEqual([
      'approved',
      [['grace', 'page']],
    ]);
    await expect.poll(async () => (await again()).body.verdict, { timeout: 30_000 }).toBe('allow');
    expect((await again()).body.reason?.code).toBe('approval.used');
    await expect
      .poll(async () => seen((await at.get(path)).text), { timeout: 30_000 })
      .toMatch(
        /Approved and released\. It is not released again\. Grace \(grace\) said yes .* Released at/,
      );
    const late = await at.post(`${path}/deny`, { reason: 'too late' });
    expect([late.status, seen(late.text)]).toEqual([
      409,
      expect.stringContaining('Nothing was changed by you.'),
    ]);
  });

  it('that something else was shown for is none', async () => {
    const [one, other] = [await hold(), await hold()];
    const { visitor: at } = person('grace');
    const { shown } = await preview(other.id);
    const answer = await at.post(`${one.path}/approve`, { shown });
    expect([answer.status, (await preview(one.id)).state]).toEqual([409, 'pending']);
  });

  it('can be other arguments: the call ends, and the agent is told', async () => {
    const { id, path } = await hold();
    const { visitor: at } = person('grace');
    const { shown } = await preview(id);
    const change = (text: string) =>
      at.post(`${path}/edit`, { shown, arguments: text, reason: 'Not the shipping.' });
    const wrong = await change('{"amount": 50,');
    expect([wrong.status, wrong.text]).toEqual([
      422,
      expect.stringContaining('{&quot;amount&quot;: 50,'),
    ]);
    expect((await change('{"amount": 50, "order_id": "ord_1002"}')).status).toBe(303);
    const { state, edited } = await preview(id);
    expect([state, edited]).toEqual(['edited', '{"amount":50,"order_id":"ord_1002"}']);
  });

  it('takes a fresh second factor where a route says so, here and over the API; a no takes none', async () => {
    await live.admin('PUT', 'routes', { routes: [{ name: 'refunds', step_up_s: 1 }] });
    try {
      const [one, other, third] = [await hold(), await hold(), await hold()];
      const { visitor: at, code } = person('grace');
      await expect
        .poll(async () => (await at.get(one.path)).text, { timeout: 30_000 })
        .toContain('takes a second factor');
      const { shown } = await preview(one.id);
      const send = async (more: Record<string, string>) =>
        at.post(`${one.path}/approve`, { shown, ...more });
      expect((await send({})).status).toBe(403);
      expect((await send({ code: '000000' })).status).toBe(403);
      expect((await preview(one.id)).state).toBe('pending');
      const used = await code();
      expect((await send({ code: used })).status).toBe(303);
      expect((await preview(one.id)).state).toBe('approved');
      // The demo's tokens are ada's and grace's.
      const ada = codesOf(live.system.secrets.signIns.find(({ id }) => id === 'ada')!.totp);
      const call = async (more: object) =>
        live.admin('POST', `approvals/${other.id}/approve`, {
          shown: (await preview(other.id)).shown,
          ...more,
        });
      const asked = expect.stringContaining('--code');
      expect(await call({})).toMatchObject({
        body: { error: { code: 'approval.step_up', help: asked } },
      });
      const fresh = await ada();
      expect((await call({ code: fresh })).status).toBe(200);
      expect((await call({ code: fresh })).body).toMatchObject({ error: { code: 'sign_in.code' } });
      expect((await live.admin('POST', `approvals/${third.id}/deny`, {})).status).toBe(200);
    } finally {
      await live.admin('PUT', 'routes', { routes: [] });
    }
  });

  it('is in the chain, with signing in and what was given to whom; the secrets are not', async () => {
    const rows = async () => JSON.stringify(await live.rows('_platform'));
    await expect.poll(rows, { timeout: 30_000 }).toContain('sign_in');
    const text = await rows();
    for (const action of ['password', 'totp']) expect(text).toContain(action);
    expect(text).not.toContain('the password of');
    expect([await live.verify(), await live.verify('_platform')]).toEqual([undefined, undefined]);
  });
});

describe('signing out', () => {
  it('ends the session, not only the cookie', async () => {
    const { visitor: at } = person('vera');
    await at.get('/approvals');
    const cookie = at.cookie();
    expect((await at.post('/sign-out', {})).headers.get('set-cookie')).toContain('Max-Age=0');
    at.setCookie(cookie);
    expect((await at.get('/approvals')).status).toBe(303);
  });

  it('happens to whoever is disabled, at once, by token and by page', async () => {
    const { visitor: at } = person('alice');
    expect((await at.get('/approvals')).status).toBe(200);
    expect((await api('POST', 'operators/alice/disable')).status).toBe(200);
    expect((await at.get('/approvals')).status).toBe(303);
  });
});

it('an admin lets somebody in by command line, who then signs in', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'countersign-heidi-'));
  const env = {
    ...process.env,
    NO_COLOR: '1',
    COUNTERSIGN_ADMIN_URL: base,
    COUNTERSIGN_OPERATOR_TOKEN_FILE: live.system.seeded()!.demo.operator_token_files[0],
  };
  const operator = async (...args: string[]) =>
    (await promisify(execFile)('./countersign', ['operator', ...args], { env, cwd: CHECKOUT }))
      .stdout;
  const file = (name: string) => join(dir, name);
  try {
    await operator('put', 'heidi', '--name', 'Heidi', '--role', 'approver', '--of', 'demo');
    await operator('password', 'heidi', '--out', file('password'));
    await operator('totp', 'heidi', '--out', file('totp'));
    expect(await operator('list')).toMatch(/heidi +Heidi +approver +demo/);
    expect((await stat(file('password'))).mode & 0o777).toBe(0o600);
    const read = async (name: string) => (await readFile(file(name), 'utf8')).trim();
    const heidi = {
      visitor: visitor(base),
      password: await read('password'),
      code: codesOf(await read('totp')),
    };
    people.set('heidi', heidi);
    expect((await signIn(heidi, 'heidi')).headers.get('location')).toBe('/approvals');
    expect((await heidi.visitor.get('/approvals')).status).toBe(200);
  } finally {
    await rm(dir, { recursive: true });
  }
}, 60_000);

if (CHROMIUM === undefined) console.warn(WITHOUT_BROWSER);
describe.skipIf(CHROMIUM === undefined)('in a browser', () => {
  it.each([
    ['on a desk', { width: 1_100, height: 800 }],
    ['on a telephone', { width: 360, height: 740 }],
  ])(
    '%s somebody signs in and approves by keyboard alone, and nothing is blocked or too wide',
    async (_, viewport) => {
      const { path, again } = await hold();
      const { password, code } = person('heidi');
      const browser = await startBrowser();
      try {
        const page = await (await browser.newContext({ viewport })).newPage();
        const faults: string[] = [];
        page.on('console', (message) => {
          if (message.type() === 'error') faults.push(message.text());
        });
        page.on('pageerror', (error) => faults.push(error.message));
        const isTooWide = () =>
          page.evaluate(
            'document.documentElement.scrollWidth > document.documentElement.clientWidth',
          );
        await page.goto(`${base}${path}`);
        for (const text of ['heidi', password]) {
          await page.keyboard.type(text);
          await page.keyboard.press('Tab');
        }
        await page.keyboard.type(await code());
        await page.keyboard.press('Enter');
        await page.waitForSelector('button.yes');
        expect(await isTooWide()).toBe(false);
        expect(await page.textContent('time[data-left]')).toMatch(/left$/);
        await page.focus('button.yes');
        await page.keyboard.press('Enter');
        await page.waitForSelector('[role=status]');
        expect(await page.textContent('[role=status]')).toContain('Heidi (heidi) said yes');
        expect([await isTooWide(), faults]).toEqual([false, []]);
        await expect
          .poll(async () => (await again()).body.verdict, { timeout: 30_000 })
          .toBe('allow');
      } finally {
        await browser.close();
      }
    },
    90_000,
  );
});

const unescaped = (text: string): string =>
  text
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&');

/** Text of a page as a person reads it, in one line. */
const seen = (text: string): string =>
  unescaped(
    text
      .replaceAll(/<(?:\/?(?:span|bdi|code|strong|time))\b[^>]*>/g, '')
      .replaceAll(/<[^>]*>/g, ' '),
  )
    .replaceAll(/\s+/g, ' ')
    .trim();

const tokenOf = async (name: Name, path: string): Promise<string> => {
  const { visitor: at } = person(name);
  await at.get(path);
  return at.formToken();
};
