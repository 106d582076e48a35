// Promise A4: no callback counts that its vendor did not sign, now, for exactly these bytes, and only once.

import { createHmac, randomBytes } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { eventually } from '#test/support/approvals.ts';
import { type FakeSlack, signSlack, startFakeSlack } from '#test/support/fake-slack.ts';
import { type Notifying, startNotifying } from '#test/support/notifier.ts';

const SIGNING = 'slack-signing-secret';
const PAGER = 'pager-signing-secret';
const KEY = Buffer.alloc(32, 9);
/** Of each of three vendors. */
const FORGED = 1_700;

interface Request {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

let slack: FakeSlack;
let all: Notifying;
let port: number;
let approval: string;
/** Good requests, by vendor; each would count. */
let good: Readonly<Record<string, Request>>;
beforeAll(async () => {
  slack = await startFakeSlack({ token: 't', signingSecret: SIGNING });
  const people = { U0GRACE: 'grace', PGRACE: 'grace', grace: 'grace' };
  all = await startNotifying(
    [
      {
        name: 'chat',
        kind: 'slack',
        url: slack.api,
        to: 'C0TEAM',
        people,
        secrets: { token: 't', signing: SIGNING },
      },
      { name: 'pager', kind: 'pagerduty', people, secrets: { signing: PAGER } },
      {
        name: 'hook',
        kind: 'webhook',
        url: 'https://hook.invalid/',
        people,
        secrets: { signing: `whsec_${KEY.toString('base64')}` },
      },
    ],
    [slack.target],
  );
  ({ port } = await all.startNotifier());
  approval = await all.hold('low-1');
  const { ts } = await eventually(async () => slack.messages()[0]);
  await eventually(async () => {
    const shown = await all.held.ask<'show'>({ ask: 'show', approval: approval as never });
    return shown.ok && shown.value.shown !== '' ? true : undefined;
  });
  good = {
    slack: { path: path('slack', 'chat'), ...slack.click(ts, 'approve', 'U0GRACE') },
    pagerduty: pager(`e-${approval}`, Date.now()),
    webhook: webhook('m-1', Math.floor(Date.now() / 1_000)),
  };
}, 120_000);
afterAll(async () => {
  await all?.close();
  await slack?.close();
});

const path = (via: string, name: string) => `/v1/callbacks/${via}/${all.held.world.tenant}/${name}`;
function pager(id: string, at: number): Request {
  const body = JSON.stringify({
    event: {
      id,
      event_type: 'incident.acknowledged',
      resource_type: 'incident',
      occurred_at: new Date(at).toISOString(),
      agent: { id: 'PGRACE', type: 'user_reference', summary: 'Grace' },
      data: { id: 'Q1', type: 'incident', incident_key: approval, status: 'acknowledged' },
    },
  });
  const signature = createHmac('sha256', PAGER).update(body).digest('hex');
  return {
    path: path('pagerduty', 'pager'),
    body,
    headers: { 'x-pagerduty-signature': `v1=${signature}` },
  };
}
function webhook(id: string, seconds: number): Request {
  const body = JSON.stringify({
    type: 'approval.decision',
    approval_id: approval,
    step: 'acknowledge',
    person: 'grace',
  });
  const mac = createHmac('sha256', KEY).update(`${id}.${seconds}.${body}`).digest('base64');
  return {
    path: path('webhook', 'hook'),
    body,
    headers: {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': String(seconds),
      'webhook-signature': `v1,${mac}`,
    },
  };
}

const send = async ({ path: where, headers, body }: Request): Promise<number> => {
  const url = `http://127.0.0.1:${port}${where}`;
  return (await fetch(url, { method: 'POST', headers: { ...headers }, body })).status;
};

const SIGNATURES = ['x-slack-signature', 'x-pagerduty-signature', 'webhook-signature'];
const TIMES = ['x-slack-request-timestamp', 'webhook-timestamp'];
const pick = (max: number) => randomBytes(4).readUInt32BE() % max;
const set = (request: Request, names: readonly string[], change: (value: string) => string) => ({
  ...request,
  headers: Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [
      name,
      names.includes(name) ? change(value) : value,
    ]),
  ),
});
const flip = (text: string): string => {
  const at = pick(text.length);
  const other = text[at] === 'a' ? 'b' : 'a';
  return `${text.slice(0, at)}${other}${text.slice(at + 1)}`;
};
const without = (request: Request, names: readonly string[]): Request => ({
  ...request,
  headers: Object.fromEntries(
    Object.entries(request.headers).filter(([name]) => !names.includes(name)),
  ),
});

/** Ways to make a good request one that must not count. */
const FORGERIES: readonly ((request: Request) => Request)[] = [
  (request) => ({ ...request, body: flip(request.body) }),
  (request) => ({ ...request, body: `${request.body} ` }),
  (request) => ({ ...request, body: request.body.slice(0, -1 - pick(20)) }),
  // The same meaning in other bytes.
  (request) => ({
    ...request,
    body: request.body.replace(/%22|"/, (it) => (it === '"' ? '\\u0022' : '"')),
  }),
  (request) => ({ ...request, body: `${request.body}&x=${pick(1e6)}` }),
  (request) => set(request, SIGNATURES, flip),
  (request) =>
    set(
      request,
      SIGNATURES,
      // One signature in seventy has no letter up to f in base64, and stood beside the 'x' of a list as it was.
      (value) => value.replace(/[a-z](?=[^a-z]*$)/, (c) => c.toUpperCase()) + ' x',
    ),
  (request) => set(request, SIGNATURES, (value) => value.slice(0, -1)),
  (request) => set(request, SIGNATURES, (value) => value.replace(/^v\d/, 'v9')),
  (request) => set(request, SIGNATURES, (value) => `${value},${value}=`.replace(/v/g, 'V')),
  (request) => set(request, SIGNATURES, () => randomBytes(32).toString('hex')),
  (request) => without(request, SIGNATURES),
  (request) => set(request, TIMES, (value) => String(Number(value) + 1 + pick(200))),
  (request) => set(request, TIMES, (value) => `0${value}`),
  (request) => without(request, TIMES.length > 0 ? [...TIMES, ...SIGNATURES] : []),
  (request) => ({ ...request, path: request.path.replace(/[a-z]+$/, 'other') }),
  (request) => ({ ...request, path: `${request.path}?x=1` }),
  (request) => ({ ...request, path: request.path.replace('acme', 'other') }),
];

/** Really signed, but not now. */
function skewed(): Request {
  const by = (301 + pick(100_000)) * (pick(2) === 0 ? -1 : 1);
  const seconds = Math.floor(Date.now() / 1_000) + by;
  const vendor = pick(3);
  if (vendor === 0) return pager(`s-${pick(1e9)}`, seconds * 1_000);
  if (vendor === 1) return webhook(`s-${pick(1e9)}`, seconds);
  const { path: where, body } = good['slack'] as Request;
  const timestamp = String(seconds);
  return {
    path: where,
    body,
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      'x-slack-request-timestamp': timestamp,
      'x-slack-signature': signSlack(SIGNING, timestamp, body),
    },
  };
}

async function statuses(requests: readonly Request[]): Promise<Record<string, number>> {
  const seen: Record<string, number> = {};
  for (let from = 0; from < requests.length; from += 64) {
    for (const status of await Promise.all(requests.slice(from, from + 64).map(send)))
      seen[status] = (seen[status] ?? 0) + 1;
  }
  return seen;
}

const stateNow = async () => {
  const shown = await all.held.ask<'show'>({ ask: 'show', approval: approval as never });
  return shown.ok ? [shown.value.state, shown.value.acknowledged_by] : [];
};

describe('of more than 5,000 callbacks', () => {
  it('none counts that is forged or re-encoded', async () => {
    const requests = Object.values(good).flatMap((request) =>
      Array.from(
        { length: FORGED },
        (_, n) => FORGERIES[n % FORGERIES.length]?.(request) ?? request,
      ),
    );
    // What a change left as it was is none.
    const forged = requests.filter(
      (request) =>
        !Object.values(good).some((one) => JSON.stringify(one) === JSON.stringify(request)),
    );
    expect(forged.length).toBeGreaterThan(4_500);
    expect(await statuses(forged)).toEqual({ 401: forged.length });
    expect(await stateNow()).toEqual(['pending', '']);
  }, 120_000);

  it('none counts that is signed for another time', async () => {
    const requests = Array.from({ length: 600 }, skewed);
    expect(await statuses(requests)).toEqual({ 401: 600 });
    expect(await stateNow()).toEqual(['pending', '']);
  }, 60_000);

  it('each good one counts once, however often it comes, also at once', async () => {
    const counted = async (request: Request | undefined) => {
      const seen = await statuses(Array.from({ length: 50 }, () => request as Request));
      return [seen['200'], seen['409']];
    };
    expect(await counted(good['pagerduty'])).toEqual([1, 49]);
    expect(await counted(good['webhook'])).toEqual([1, 49]);
    // The message has changed meanwhile, and with it the word that its buttons carry.
    const { ts } = await eventually(async () => slack.messages().find(({ edits }) => edits > 0));
    expect(await counted(good['slack'])).toEqual([undefined, 50]);
    const click = { path: path('slack', 'chat'), ...slack.click(ts, 'approve', 'U0GRACE') };
    expect(await counted(click)).toEqual([1, 49]);
    expect(await stateNow()).toEqual(['approved', 'grace']);
  }, 60_000);
});
