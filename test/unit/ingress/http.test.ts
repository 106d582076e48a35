// Every fault of a request has its own code, and every refusal the same shape. No socket: Fastify's inject.

import { describe, expect, it } from 'vitest';

import type { MalformedJsonCode } from '#contracts/json.ts';
import { publicReason, type Reason, reasonSpec } from '#contracts/reasons.ts';
import { createLog } from '#host/log.ts';

import {
  bodyOf,
  capabilityOf,
  credentialsOf,
  createHttp,
  refuse,
  sendJson,
} from '../../../services/ingress/http.ts';

const log = createLog('test', 'silent');

function server() {
  return createHttp(
    {
      log,
      allowedOrigins: ['https://console.example'],
      trustedProxies: [],
      onRefused: () => undefined,
    },
    (app) => {
      app.post('/echo', async (request, reply) => sendJson(reply, JSON.stringify(bodyOf(request))));
      app.get('/who', async (request, reply) =>
        sendJson(reply, JSON.stringify([credentialsOf(request).token, capabilityOf(request)])),
      );
      app.get('/refuse/:code', async (request, reply) =>
        refuse(reply, (request.params as { code: Reason }).code),
      );
      app.delete('/who', async (_, reply) => reply.send('gone'));
      app.get('/bug', async () => {
        throw new Error('secret words of a bug');
      });
    },
  );
}

const post = (payload: string | Buffer, headers: Record<string, string> = {}) =>
  server().inject({
    method: 'POST',
    url: '/echo',
    headers: { 'content-type': 'application/json', ...headers },
    payload,
  });

const code = (body: string) => (JSON.parse(body) as { reason: { code: string } }).reason.code;

const FAULTS: Record<MalformedJsonCode, [body: string | Buffer, code: Reason]> = {
  too_large: [`"${'a'.repeat(1_048_576)}"`, 'request.too_large'],
  invalid_utf8: [Buffer.from([0x22, 0xff, 0x22]), 'request.encoding'],
  byte_order_mark: ['\ufeff{}', 'request.encoding'],
  syntax: ['{"a":}', 'request.syntax'],
  too_deep: ['['.repeat(33) + ']'.repeat(33), 'request.depth'],
  too_many_members: [`[${'0,'.repeat(65_536)}0]`, 'request.members'],
  duplicate_key: ['{"a":1,"a":1}', 'request.duplicate_key'],
  forbidden_key: ['{"__proto__":{}}', 'request.forbidden_key'],
  lone_surrogate: ['"\\ud800"', 'request.surrogate'],
  number_not_finite: ['1e999', 'request.number'],
  integer_out_of_range: ['9007199254740993', 'request.number'],
};

describe('a body', () => {
  it.each(Object.entries(FAULTS))(
    'with fault %s has its own code',
    async (_fault, [body, expected]) => {
      const answer = await post(body);
      expect([answer.statusCode, code(answer.body)]).toEqual([
        reasonSpec(expected).status,
        expected,
      ]);
    },
  );

  it('that is well-formed arrives', async () => {
    const answer = await post('{"b":[1.5,"ü"],"a":null}');
    expect([answer.statusCode, answer.json()]).toEqual([200, { a: null, b: [1.5, 'ü'] }]);
  });

  it('that is empty is not JSON', async () => {
    expect(code((await post('')).body)).toBe('request.syntax');
  });

  it('is refused with the place of the fault, and nothing of its content', async () => {
    const answer = await post('{"password":"hunter2","password":1}');
    expect(answer.json()).toEqual({
      verdict: 'block',
      reason: {
        ...publicReason('request.duplicate_key'),
        message: 'An object has the same key twice. At byte 22.',
      },
    });
  });

  it.each<[string, string | undefined, number]>([
    ['application/json', 'application/json', 200],
    ['with charset', 'application/json; charset=utf-8', 200],
    ['with quoted charset in capitals', 'Application/JSON;charset="UTF-8"', 200],
    ['with another charset', 'application/json; charset=latin1', 415],
    ['with a further parameter', 'application/json; charset=utf-8; profile=x', 415],
    ['of another type', 'text/plain', 415],
    ['of a type that ends in json', 'application/vnd.api+json', 415],
    ['of a form', 'application/x-www-form-urlencoded', 415],
    ['given twice', 'application/json, text/plain', 415],
    ['that is no type', 'json', 415],
    ['absent', undefined, 415],
  ])('content type %s', async (_name, type, status) => {
    const answer = await server().inject({
      method: 'POST',
      url: '/echo',
      headers: type === undefined ? {} : { 'content-type': type },
      payload: Buffer.from('{}'),
    });
    expect(answer.statusCode).toBe(status);
    if (status === 415) expect(code(answer.body)).toBe('request.content_type');
  });

  it('that is compressed is not read', async () => {
    expect(code((await post('{}', { 'content-encoding': 'gzip' })).body)).toBe(
      'request.content_type',
    );
  });
});

describe('headers', () => {
  const who = (headers: Record<string, string>) =>
    server().inject({ method: 'GET', url: '/who', headers });

  it.each([
    ['Bearer abc.def-_~+/=', 'abc.def-_~+/='],
    ['bearer abc', 'abc'],
    ['Bearer   abc', 'abc'],
  ])('a bearer token: %s', async (authorization, token) => {
    expect((await who({ authorization })).json()).toEqual([token, '']);
  });

  it.each<[string, Record<string, string>, Reason]>([
    ['another scheme', { authorization: 'Basic YTpi' }, 'identity.malformed'],
    ['a bearer without a token', { authorization: 'Bearer ' }, 'identity.malformed'],
    ['a token with blanks', { authorization: 'Bearer a b' }, 'identity.malformed'],
    [
      'a token that is too long',
      { authorization: `Bearer ${'a'.repeat(16_385)}` },
      'identity.malformed',
    ],
    ['two authorizations', { authorization: 'Bearer a, Bearer b' }, 'request.header'],
    ['two capabilities', { 'countersign-capability': 'a, b' }, 'request.header'],
    [
      'a capability that is too long',
      { 'countersign-capability': 'a'.repeat(16_385) },
      'request.header',
    ],
  ])('%s', async (_name, headers, expected) => {
    const answer = await who(headers);
    expect([answer.statusCode, code(answer.body)]).toEqual([reasonSpec(expected).status, expected]);
  });

  it.each([
    ['none', undefined, 200],
    ['localhost', 'http://localhost:3000', 200],
    ['127.0.0.1', 'http://127.0.0.1:8080', 200],
    ['IPv6 loopback', 'http://[::1]:8080', 200],
    ['a registered page', 'https://console.example', 200],
    ['another page', 'https://evil.example', 403],
    ['a page named like loopback', 'https://127.0.0.1.evil.example', 403],
    ['a page named like a registered one', 'https://console.example.evil.example', 403],
    ['an opaque origin', 'null', 403],
  ])('origin: %s', async (_name, origin, status) => {
    const answer = await who(origin === undefined ? {} : { origin });
    expect(answer.statusCode).toBe(status);
    if (status === 403) expect(code(answer.body)).toBe('request.origin');
  });

  it('X-Request-ID comes back, also with a refusal', async () => {
    const headers = { 'x-request-id': 'r-1' };
    expect((await who(headers)).headers['x-request-id']).toBe('r-1');
    expect((await who({ ...headers, origin: 'null' })).headers['x-request-id']).toBe('r-1');
  });
});

describe('a refusal', () => {
  const refusal = (of: string) => server().inject({ method: 'GET', url: `/refuse/${of}` });

  it.each<[Reason, number, Record<string, string>]>([
    ['identity.missing', 401, { 'www-authenticate': 'Bearer realm="countersign"' }],
    [
      'identity.expired',
      401,
      {
        'www-authenticate':
          'Bearer realm="countersign", error="invalid_token", error_description="The identity has expired."',
      },
    ],
    ['service.tenant_rate', 429, { 'retry-after': '1' }],
    ['service.no_worker', 503, { 'retry-after': '1' }],
    ['request.unknown_ref', 404, {}],
  ])('%s', async (of, status, headers) => {
    const answer = await refusal(of);
    expect(answer.statusCode).toBe(status);
    expect(answer.json()).toEqual({ verdict: 'block', reason: publicReason(of) });
    expect(answer.headers).toMatchObject({
      'content-type': 'application/json; charset=utf-8',
      ...headers,
    });
  });

  it.each([
    ['an unknown path', 'GET /nothing', [404, 'request.not_found', undefined]],
    ['an unknown path with a body', 'POST /nothing', [404, 'request.not_found', undefined]],
    ['an address that cannot be decoded', 'GET /%zz', [404, 'request.not_found', undefined]],
    ['a path with a slash too many', 'POST /echo/', [404, 'request.not_found', undefined]],
    ['another method', 'GET /echo', [405, 'request.method', 'POST']],
    ['another method, two known', 'PUT /who', [405, 'request.method', 'GET, HEAD, DELETE']],
    ['a preflight', 'OPTIONS /echo', [405, 'request.method', 'POST']],
    ['a method that asks for a body', 'QUERY /who', [405, 'request.method', 'GET, HEAD, DELETE']],
  ])('%s', async (_name, line, expected) => {
    const [method, url] = line.split(' ');
    const answer = await server().inject({ method: method as 'GET', url: url ?? '' });
    expect([answer.statusCode, code(answer.body), answer.headers.allow]).toEqual(expected);
  });

  it('tells nothing of a bug', async () => {
    const answer = await server().inject({ method: 'GET', url: '/bug' });
    expect([answer.statusCode, answer.json()]).toEqual([
      500,
      { verdict: 'block', reason: publicReason('service.failed') },
    ]);
  });
});
