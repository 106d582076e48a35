// POST /v1/decisions from the socket to a stand-in worker and back.

import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import type { CallLines, WorkerAnswer } from '#contracts/call.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import { publicReason, type Reason, reasonSpec } from '#contracts/reasons.ts';

import {
  allowAll,
  allowed,
  type Answered,
  type Handle,
  identity,
  ISSUER,
  startIngress,
  type TestIngress,
} from '../../support/ingress.ts';
import { jwt } from '../../support/unsigned-jwt.ts';

let world: TestIngress;
let stop: () => Promise<void> = async () => undefined;
beforeAll(async () => {
  world = await startIngress({ COUNTERSIGN_SOURCE_CALLS_PER_SECOND: '1000' });
});
afterEach(async () => {
  await stop();
  stop = async () => undefined;
});
afterAll(() => world.close());

const CALL = { tool: 'lookup_order', arguments: { order_id: 'A-17' } };
const workers = async (handle: Handle) => {
  ({ stop } = await world.standIn(handle));
};
const ask = (body: unknown = CALL, headers: Record<string, string> = {}) =>
  world.post('/v1/decisions', body, headers);
const refusal = (answer: Answered) => [answer.status, answer.body['reason'].code];
const as = (code: Reason) => [reasonSpec(code).status, code];

describe('a decision', () => {
  it('comes back whole, with its evidence sealed', async () => {
    const given: WorkerAnswer[] = [];
    await workers((calls, say) => {
      given.push(...calls.map(({ envelope }) => allowed(envelope)));
      say(given);
    });
    const { status, headers, body } = await ask({ ...CALL, call_id: 'c-1' });
    const { body: decision } = given[0] as Extract<WorkerAnswer, { kind: 'decided' }>;
    expect([status, headers.get('content-type')]).toEqual([200, 'application/json; charset=utf-8']);
    expect(body).toEqual({
      ...decision,
      call_id: 'c-1',
      recorded: {
        ref: expect.stringMatching(/^[\w-]{100,512}$/) as string,
        durability: 'power-cut',
      },
    });
  });

  it('is asked for with all that the caller said, and arguments in canonical form', async () => {
    const seen: CallLines[] = [];
    await workers((calls, say) => {
      seen.push(...calls);
      allowAll(calls, say);
    });
    const context = {
      call_id: 'c-2',
      intent: { purpose: 'refund', allowed_tools: ['refund_order'] },
      task_id: 't',
      session_id: 's',
      min_revision: 'r1-2',
    };
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await ask(
      `{"upstream":"shop", "deadline_ms":2000, "tool":"refund_order",
        "arguments":{"b":1.50,"\\u0061":"\\u00fc","c":[1e2]}, ${JSON.stringify(context).slice(1)}`,
      { 'countersign-capability': 'cap', 'user-agent': 'test/1', traceparent },
    );
    const [call] = seen;
    expect(call?.args).toBe('{"a":"ü","b":1.5,"c":[100]}');
    expect(call?.envelope).toEqual({
      ...context,
      v: 1,
      n: expect.any(Number) as number,
      sent_at: expect.any(Number) as number,
      remaining_ms: expect.any(Number) as number,
      ask: 'decide',
      via: 'http',
      tenant: 'acme',
      identity: identity(),
      capability: 'cap',
      tool: 'refund_order',
      upstream: 'shop',
      forwards: false,
      client: { address: '127.0.0.1', name: 'test/1', version: '', era: '' },
      traceparent,
    });
    expect(call?.envelope.remaining_ms).toBeGreaterThan(1_000);
  });

  it('drops a traceparent of no known form', async () => {
    const seen: CallLines[] = [];
    await workers((calls, say) => {
      seen.push(...calls);
      allowAll(calls, say);
    });
    await ask(CALL, { traceparent: '00-xyz' });
    expect(seen[0]?.envelope.traceparent).toBeUndefined();
  });

  it.each([
    ['block', 'policy.blocked'],
    ['escalate', 'policy.needs_approval'],
  ] as const)('of %s is an answer too', async (verdict, code) => {
    await workers((calls, say) =>
      say(calls.map(({ envelope }) => allowed(envelope, { verdict, code }))),
    );
    const { status, body } = await ask();
    expect([status, body['verdict'], body['reason']]).toEqual([200, verdict, publicReason(code)]);
  });

  it('that was given before says so', async () => {
    await workers((calls, say) =>
      say(calls.map(({ envelope }) => ({ ...allowed(envelope), repeated: true }) as WorkerAnswer)),
    );
    expect((await ask()).body).toMatchObject({ verdict: 'allow', repeated: true });
  });
});

describe('a request is refused before anybody is asked', () => {
  it.each<[string, unknown, string]>([
    ['a body that is a list', [CALL], 'The body must be object.'],
    ['no tool', { arguments: {} }, 'The body must have required properties tool.'],
    [
      'an unknown property',
      { ...CALL, verdict: 'allow' },
      'The body must not have additional properties.',
    ],
    ['a tool with a blank', { ...CALL, tool: 'a b' }, '/tool must match pattern "^[!-~]{1,128}$".'],
    ['arguments that are a list', { ...CALL, arguments: [] }, '/arguments must be object.'],
    ['arguments that are null', { ...CALL, arguments: null }, '/arguments must be object.'],
    ['a deadline of zero', { ...CALL, deadline_ms: 0 }, '/deadline_ms must be >= 1.'],
    [
      'a deadline beyond ten seconds',
      { ...CALL, deadline_ms: 10_001 },
      '/deadline_ms must be <= 10000.',
    ],
    ['a deadline with a fraction', { ...CALL, deadline_ms: 1.5 }, '/deadline_ms must be integer.'],
    ['a deadline as text', { ...CALL, deadline_ms: '5' }, '/deadline_ms must be integer.'],
    [
      'an empty call_id',
      { ...CALL, call_id: '' },
      '/call_id must not have fewer than 1 characters.',
    ],
    [
      'an intent with an unknown property',
      { ...CALL, intent: { purpose: 'p', x: 1 } },
      '/intent must not have additional properties.',
    ],
  ])('%s', async (_name, body, words) => {
    const answer = await ask(body);
    expect(refusal(answer)).toEqual(as('request.schema'));
    const { message } = publicReason('request.schema');
    expect(answer.body['reason'].message).toBe(`${message} ${words}`);
  });

  it.each<[string, string, Reason]>([
    ['a key given twice', '{"tool":"a","tool":"b","arguments":{}}', 'request.duplicate_key'],
    [
      'a key given twice inside the arguments',
      '{"tool":"a","arguments":{"x":1,"x":2}}',
      'request.duplicate_key',
    ],
    [
      'a number that cannot be kept',
      '{"tool":"a","arguments":{"x":9007199254740993}}',
      'request.number',
    ],
    [
      'arguments beyond 256 KiB',
      JSON.stringify({ ...CALL, arguments: { x: 'a'.repeat(262_137) } }),
      'request.arguments_too_large',
    ],
    [
      'arguments beyond 256 KiB in UTF-8 only',
      JSON.stringify({ ...CALL, arguments: { x: 'ü'.repeat(131_070) } }),
      'request.arguments_too_large',
    ],
    [
      'a body beyond 1 MiB',
      JSON.stringify({ ...CALL, arguments: { x: 'a'.repeat(1_048_576) } }),
      'request.too_large',
    ],
  ])('%s', async (_name, body, code) => {
    expect(refusal(await ask(body))).toEqual(as(code));
  });

  it('arguments of exactly 256 KiB are not', async () => {
    await workers(allowAll);
    expect((await ask({ ...CALL, arguments: { x: 'a'.repeat(262_144 - 8) } })).status).toBe(200);
  });

  it.each<[string, string, Reason]>([
    ['no identity', '', 'identity.missing'],
    ['another scheme', 'Basic YTpi', 'identity.malformed'],
    ['no JWT', 'Bearer abc', 'identity.malformed'],
    [
      'an unknown issuer',
      `Bearer ${jwt({ iss: 'https://no.example', tenant: 'acme' })}`,
      'identity.unknown_issuer',
    ],
    ['no tenant', `Bearer ${jwt({ iss: ISSUER })}`, 'identity.claims'],
  ])('%s', async (_name, authorization, code) => {
    const answer = await ask(CALL, { authorization });
    expect(refusal(answer)).toEqual(as(code));
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer realm="countersign"/);
  });

  it('a header that comes twice', async () => {
    const token = identity();
    const head = `POST /v1/decisions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n`;
    const twice = `Authorization: Bearer ${token}\r\nAuthorization: Bearer ${token}\r\n`;
    expect(await raw(`${head}${twice}Content-Length: 2\r\n\r\n{}`)).toMatch(
      /^HTTP\/1.1 400 .*"code":"request.header"/s,
    );
  });

  it('headers beyond 64 KiB, and bytes that are no HTTP', async () => {
    const long = `GET / HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(70_000)}\r\n\r\n`;
    const expected = /^HTTP\/1.1 400 .*"code":"request.header"/s;
    expect(await raw(long)).toMatch(expected);
    expect(await raw('hello\r\n\r\n')).toMatch(expected);
  });
});

function raw(bytes: string): Promise<string> {
  const { hostname, port } = new URL(world.url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  socket.write(bytes);
  return text(socket);
}

describe('a call that nobody judged', () => {
  it.each<Reason>([
    'identity.signature',
    'identity.keys_unavailable',
    'service.stale',
    'service.behind',
    'call.in_progress',
    'evidence.unavailable',
    'evidence.too_large',
  ])('as the worker says: %s', async (code) => {
    await workers((calls, say) =>
      say(calls.map(({ envelope: { n } }) => ({ n, kind: 'refused', code, proven: true }))),
    );
    const answer = await ask();
    expect(refusal(answer)).toEqual(as(code));
    expect(answer.body['verdict']).toBe('block');
    expect(answer.headers.get('retry-after')).toBe(answer.status === 503 ? '1' : null);
  });

  it('with no worker', async () => {
    expect(refusal(await ask())).toEqual(as('service.no_worker'));
  });

  it('with a slow worker', async () => {
    await workers(() => undefined);
    expect(refusal(await ask({ ...CALL, deadline_ms: 30 }))).toEqual(as('service.timeout'));
  });

  it('with an answer to another question', async () => {
    await workers((calls, say) =>
      say(
        calls.map(({ envelope: { n } }) => ({
          n,
          kind: 'visible',
          agent: 'a',
          principal: 'p',
          tools: [],
        })),
      ),
    );
    expect(refusal(await ask())).toEqual(as('service.malformed_answer'));
  });

  it('with the broker killed, and is judged again when it is back', async () => {
    await workers(allowAll);
    expect((await ask()).status).toBe(200);
    await world.nats.kill();
    await expect.poll(async () => refusal(await ask())).toEqual(as('service.bus_away'));
    const ready = async () => (await fetch(`${world.healthUrl}/readyz`)).json();
    expect(await ready()).toMatchObject({ ready: false, reasons: ['bus: the bus is away'] });
    await world.nats.restart();
    await expect.poll(async () => (await ask()).status, { timeout: 2_000, interval: 20 }).toBe(200);
    await expect.poll(ready).toMatchObject({ ready: true, durability: 'power-cut' });
  });
});

describe('rates', () => {
  it('stop a tenant that has used up its own, and nobody else', async () => {
    await workers(allowAll);
    await world.put(CONTROL_KEYS.tenant('acme'), { calls_per_second: 1 });
    await world.put(CONTROL_KEYS.issuer('bolt', 'idp'), { issuer: ISSUER, audiences: ['c'] });
    await expect
      .poll(async () => {
        const some = await Promise.all(Array.from({ length: 20 }, () => ask()));
        return some.some(({ status }) => status === 429);
      })
      .toBe(true);
    const flood = await Promise.all(Array.from({ length: 50 }, () => ask()));
    const refused = flood.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThan(40);
    expect(refused[0] && refusal(refused[0])).toEqual(as('service.tenant_rate'));
    expect(refused[0]?.headers.get('retry-after')).toBe('1');
    const authorization = `Bearer ${identity('other', { tenant: 'bolt' })}`;
    expect((await ask(CALL, { authorization })).status).toBe(200);
    await world.put(CONTROL_KEYS.tenant('acme'), null);
    await expect.poll(async () => (await ask()).status).toBe(200);
  });
});

describe('documents', () => {
  it('the OpenAPI document is the generated one', async () => {
    const file = new URL('../../../contracts/generated/openapi.json', import.meta.url);
    const served = await fetch(`${world.url}/openapi.json`);
    expect(await served.text()).toBe(readFileSync(file, 'utf8'));
  });
});
