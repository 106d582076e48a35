// What both SDKs make of every kind of answer. A server of our own answers, because a real one never says most of it.

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { hasPython, NO_PYTHON, type PythonSdk, startPythonSdk } from '#test/support/sdk.ts';

import { Client, CountersignError, Unavailable } from '../../../sdk/typescript/src/index.ts';

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

const there = hasPython();
if (!there) console.warn(NO_PYTHON);

let server: Server;
let base: string;
let python: PythonSdk | undefined;
beforeAll(async () => {
  server = createServer((request, response) => {
    const answer = CASES[Number(request.url?.split('/')[1])]?.[1];
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

/** In the words of the Python driver. */
async function call(url: string, options: object = {}): Promise<object> {
  try {
    const client = new Client(url, { identity: 'identity' }, options);
    return { result: (await client.call('tool', { amount: 1 })).decisionId };
  } catch (error) {
    if (!(error instanceof CountersignError)) throw error;
    const said = { error: error.name, code: error.code, decision: error.decisionId ?? null };
    return error instanceof Unavailable ? { ...said, retry_after: error.retryAfter ?? null } : said;
  }
}
const callPython = (url: string, timeout = 10) => python?.ask({ op: 'call', url, timeout });

describe('TypeScript', () => {
  test.each(CASES.map((row, at) => [row[0], at, row[2]] as const))('%s', async (_, at, said) => {
    expect(await call(`${base}/${at}/`)).toEqual(said);
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
