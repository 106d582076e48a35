// What both SDKs make of every kind of answer. A server of our own answers, because a real one never says most of it.

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { hasPython, NO_PYTHON, type PythonSdk, startPythonSdk } from '#test/support/sdk.ts';

import { Client, CountersignError, Held, Unavailable } from '../../../sdk/typescript/src/index.ts';

const ID = '0199a2c4-7d3e-7a10-9c55-0123456789ab';
const reason = (code: string) => ({ code, check: 'policy', message: 'Said.', help: '' });
const decision = (verdict: string, code: string, more: object = {}) => ({
  decision_id: ID,
  verdict,
  reason: reason(code),
  policy: { digest: '', revision: '' },
  obligations: [],
  valid_until: '2030-01-01T00:00:00.000Z',
  recorded: { ref: 'ref', durability: 'power-cut' },
  ...more,
});
const refusal = (code: string) => ({ verdict: 'block', reason: reason(code) });
const failed = (error: string, code: string, more: object = {}) => ({
  error,
  code,
  decision: null,
  ...more,
});
const allow = decision('allow', 'policy.allowed');
const ODD = failed('Unavailable', 'client.unexpected_answer', { retry_after: null });

type Case = [name: string, answer: { status?: number; headers?: object; body: unknown }, object];

const CASES: Case[] = [
  ['an allow', { body: allow }, { result: ID }],
  [
    'a tag to note',
    { body: { ...allow, obligations: [{ type: 'tag', name: 'a', value: 'b' }] } },
    { result: ID },
  ],
  [
    'an obligation that nobody fulfils',
    { body: { ...allow, obligations: [{ type: 'redact', paths: ['/a'] }] } },
    failed('Blocked', 'client.obligation', { decision: ID }),
  ],
  [
    'a block',
    { body: decision('block', 'policy.blocked') },
    failed('Blocked', 'policy.blocked', { decision: ID }),
  ],
  [
    'a hold',
    { body: decision('escalate', 'policy.needs_approval', { approval_id: ID }) },
    failed('Held', 'policy.needs_approval', { decision: ID }),
  ],
  [
    'an expired capability',
    { body: decision('block', 'capability.expired') },
    failed('Expired', 'capability.expired', { decision: ID }),
  ],
  [
    'an expired identity',
    { status: 401, body: refusal('identity.expired') },
    failed('Expired', 'identity.expired'),
  ],
  [
    'no identity',
    { status: 401, body: refusal('identity.missing') },
    failed('Blocked', 'identity.missing'),
  ],
  [
    'nobody there to decide',
    { status: 503, headers: { 'retry-after': '7' }, body: refusal('service.no_worker') },
    failed('Unavailable', 'service.no_worker', { retry_after: 7 }),
  ],
  [
    'too many calls',
    { status: 429, headers: { 'retry-after': '1' }, body: refusal('service.agent_rate') },
    failed('Unavailable', 'service.agent_rate', { retry_after: 1 }),
  ],
  [
    'a wait that is no number of seconds',
    { status: 503, headers: { 'retry-after': '9'.repeat(5_000) }, body: refusal('service.stale') },
    failed('Unavailable', 'service.stale', { retry_after: null }),
  ],
  ['a page of a proxy', { status: 502, body: '<html>' }, ODD],
  ['success without a decision', { body: { verdict: 'allow' } }, ODD],
  ['a page where a decision was asked for', { body: '<html>allow</html>' }, ODD],
  ['a verdict that nobody knows', { body: decision('permit', 'policy.allowed') }, ODD],
  ['obligations that are no list', { body: { ...allow, obligations: {} } }, ODD],
  ['an obligation without a type', { body: { ...allow, obligations: [{}] } }, ODD],
  ['an allow without evidence', { body: { ...allow, recorded: undefined } }, ODD],
  [
    'an address that leads elsewhere',
    { status: 307, headers: { location: '/0' }, body: '' },
    expect.objectContaining({ code: expect.stringMatching(/^client\./) as string }) as object,
  ],
];

/** What a server says, in turn, to one client that waits for a held call; the last answer stands. */
type Story = [
  name: string,
  answers: { status?: number; headers?: object; body: unknown }[],
  object,
];

const held = (state: string, next: string) => ({
  body: { approval_id: ID, state, next, message: `Is ${state}.`, note: 'Said by a person.' },
});
const ASKED = { body: decision('escalate', 'policy.needs_approval', { approval_handle: 'h/1' }) };
const AWAY = { status: 503, headers: { 'retry-after': '0' }, body: refusal('service.no_worker') };

const STORIES: Story[] = [
  ['approved', [ASKED, held('approved', 'repeat'), { body: allow }], { result: ID }],
  [
    'approved after a while, in which nobody was there',
    [ASKED, held('pending', 'wait'), AWAY, held('approved', 'repeat'), { body: allow }],
    { result: ID },
  ],
  [
    'approved, and blocked after all',
    [ASKED, held('approved', 'repeat'), { body: decision('block', 'approval.used') }],
    failed('Blocked', 'approval.used', { decision: ID }),
  ],
  [
    'declined',
    [ASKED, held('denied', 'stop')],
    failed('Blocked', 'approval.denied', { decision: ID }),
  ],
  [
    'answered by nobody',
    [ASKED, held('expired', 'repeat')],
    failed('Blocked', 'approval.expired', { decision: ID }),
  ],
  [
    'not decided in time',
    [ASKED, held('pending', 'wait')],
    failed('Held', 'policy.needs_approval', { decision: ID }),
  ],
  [
    'not to be found',
    [ASKED, { status: 404, body: refusal('request.unknown_ref') }],
    failed('Blocked', 'request.unknown_ref'),
  ],
  [
    'of a service that gives no handle',
    [{ body: decision('escalate', 'policy.needs_approval') }],
    failed('Held', 'policy.needs_approval', { decision: ID }),
  ],
  [
    'answered with something else',
    [ASKED, { body: {} }],
    failed('Blocked', 'approval.unknown', { decision: ID }),
  ],
];
/** Long enough for two pauses, so that a story is told to its end. */
const WAIT_S = 2.5;

const there = hasPython();
if (!there) console.warn(NO_PYTHON);

let server: Server;
let base: string;
let python: PythonSdk | undefined;
beforeAll(async () => {
  const told = new Map<string, number>();
  const answerTo = (url: string) => {
    const [, first = '', second = ''] = url.split('/');
    if (first !== 'story') return CASES[Number(first)]?.[1];
    const [, , , story = ''] = url.split('/');
    const answers = STORIES[Number(second)]?.[1] ?? [];
    const place = `${second}/${story}`;
    const at = told.get(place) ?? 0;
    told.set(place, at + 1);
    return answers[Math.min(at, answers.length - 1)];
  };
  server = createServer((request, response) => {
    const answer = answerTo(request.url ?? '');
    if (answer === undefined) return; // never answers
    const { status = 200, headers = {}, body } = answer;
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  if (there) python = startPythonSdk();
});
afterAll(async () => {
  await python?.close();
  server.closeAllConnections();
  await new Promise((resolve) => {
    server.close(resolve);
  });
});

/** A call, and the wait for it where it is held. */
async function callAndWait(url: string, options: object, timeoutMs?: number): Promise<string> {
  const client = new Client(url, { identity: 'identity' }, options);
  try {
    return (await client.call('tool', { amount: 1 })).decisionId;
  } catch (error) {
    if (!(error instanceof Held) || timeoutMs === undefined) throw error;
    return (await client.wait(error, { timeoutMs })).decisionId;
  }
}

/** In the words of the Python driver. */
async function call(url: string, options: object = {}, timeoutMs?: number): Promise<object> {
  try {
    return { result: await callAndWait(url, options, timeoutMs) };
  } catch (error) {
    if (!(error instanceof CountersignError)) throw error;
    const said = { error: error.name, code: error.code, decision: error.decisionId ?? null };
    return error instanceof Unavailable ? { ...said, retry_after: error.retryAfter ?? null } : said;
  }
}
const callPython = (url: string, timeout = 10, wait?: number) =>
  python?.ask({ op: 'call', url, timeout, wait });

describe('TypeScript', () => {
  test.each(CASES.map((row, at) => [row[0], at, row[2]] as const))('%s', async (_, at, said) => {
    expect(await call(`${base}/${at}/`)).toEqual(said);
  });

  test.concurrent.each(STORIES.map((row, at) => [row[0], at, row[2]] as const))(
    'a held call that is %s',
    async (_, at, said) => {
      expect(await call(`${base}/story/${at}/ts`, {}, WAIT_S * 1_000)).toEqual(said);
    },
  );

  test('the caller gives up waiting', async () => {
    const client = new Client(`${base}/story/5/gives-up`, { identity: 'identity' });
    const held = await client.call('tool', {}).catch((error: unknown) => error);
    const reasonGiven = new Error('enough');
    const ending = new AbortController();
    const waiting = client.wait(held as Held, { signal: ending.signal });
    ending.abort(reasonGiven);
    await expect(waiting).rejects.toBe(reasonGiven);
  });

  test('no answer in time', async () => {
    expect(await call(`${base}/none`, { timeoutMs: 50 })).toEqual(
      failed('Unavailable', 'client.timeout', { retry_after: null }),
    );
  });

  test('nobody listens', async () => {
    expect(await call(await nowhere())).toEqual(
      failed('Unavailable', 'client.unreachable', { retry_after: null }),
    );
  });

  test('the caller gives up', async () => {
    const client = new Client(`${base}/none`, { identity: 'identity' });
    const reasonGiven = new Error('enough');
    const ending = new AbortController();
    const call = client.call('tool', {}, { signal: ending.signal });
    ending.abort(reasonGiven);
    await expect(call).rejects.toBe(reasonGiven);
  });
});

describe.skipIf(!there)('Python', () => {
  test.each(CASES.map((row, at) => [row[0], at, row[2]] as const))('%s', async (_, at, said) => {
    expect(await callPython(`${base}/${at}/`)).toEqual(said);
  });

  test.each(STORIES.map((row, at) => [row[0], at, row[2]] as const))(
    'a held call that is %s',
    async (_, at, said) => {
      expect(await callPython(`${base}/story/${at}/py`, 10, WAIT_S)).toEqual(said);
    },
  );

  test('no answer in time', async () => {
    expect(await callPython(`${base}/none`, 0.05)).toEqual(
      failed('Unavailable', 'client.timeout', { retry_after: null }),
    );
  });

  test('nobody listens', async () => {
    expect(await callPython(await nowhere())).toEqual(
      failed('Unavailable', 'client.unreachable', { retry_after: null }),
    );
  });
});

/** An address that nobody listens at any more. */
async function nowhere(): Promise<string> {
  const gone = createServer();
  await new Promise<void>((resolve) => {
    gone.listen(0, '127.0.0.1', resolve);
  });
  const { port } = gone.address() as AddressInfo;
  await new Promise((resolve) => {
    gone.close(resolve);
  });
  return `http://127.0.0.1:${port}`;
}
