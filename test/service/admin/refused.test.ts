// What the operators' API refuses: each with its code and its place, and nothing of it becomes an event.

import { generateKeyPairSync } from 'node:crypto';

import { afterAll, beforeAll, expect, it } from 'vitest';

import { type AdminWorld, startAdminWorld } from '../../support/admin.ts';

let world: AdminWorld;
afterAll(() => world.close());

const ACME = '/v1/tenants/acme';
const jwk = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' });
const ISSUER = { issuer: 'https://idp.example', jwks: { keys: [jwk] }, audiences: ['countersign'] };
const BUDGETS = { ceilings: [{ scope: 'agent', window: 'hour', calls: 100 }] };

beforeAll(async () => {
  world = await startAdminWorld();
  // What some of them would be a second one of, or are about.
  for (const [path, value] of [
    ['issuers/idp', ISSUER],
    ['agents/shop-agent', { class: 'shop' }],
  ] as const)
    expect((await world.call('PUT', `${ACME}/${path}`, value)).status).toBe(200);
});

const digest = `sha256:${'0'.repeat(64)}`;
const low = { kty: 'OKP', crv: 'Ed25519', x: Buffer.alloc(32).toString('base64url') };
type Row = readonly [
  name: string,
  request: readonly [method: string, path: string, body?: unknown],
  refused: readonly [status: number, code: string, path?: string],
];
const ROWS: readonly Row[] = [
  [
    'an unknown member',
    ['PUT', 'agents/a', { class: 'x', color: 1 }],
    [400, 'request.schema', '/color'],
  ],
  [
    'an unknown member deep inside',
    ['PUT', 'tools', { tools: [{ name: 'a', size: 1 }] }],
    [400, 'request.schema', '/tools/0/size'],
  ],
  ['a wrong type', ['PUT', 'agents/a', { class: 7 }], [400, 'request.schema', '/class']],
  ['a missing member', ['POST', 'capabilities', {}], [400, 'request.schema']],
  [
    'a body where there is none',
    ['POST', `policies/${digest}/activate`, { force: true }],
    [400, 'request.schema'],
  ],
  ['an unknown query parameter', ['GET', 'facts?color=red'], [400, 'request.schema']],
  ['a limit out of range', ['GET', 'facts?limit=0'], [400, 'request.schema']],
  ['a page of no held calls', ['GET', 'approvals?limit=0'], [400, 'request.schema']],
  ['an unknown path', ['GET', 'nothing'], [404, 'request.not_found']],
  ['a method that a path does not have', ['POST', 'budgets', {}], [405, 'request.method']],
  ['a method that asks for a body', ['QUERY', 'budgets'], [405, 'request.method']],
  ['an unknown agent', ['GET', 'agents/nobody'], [404, 'thing.not_found']],
  ['an issuer id with a slash', ['PUT', 'issuers/a%2Fb', ISSUER], [404, 'request.not_found']],
  [
    'an issuer without keys',
    ['PUT', 'issuers/a', { issuer: 'https://a', audiences: ['x'] }],
    [400, 'request.schema'],
  ],
  [
    'keys fetched without TLS',
    [
      'PUT',
      'issuers/a',
      { issuer: 'https://a', jwks_uri: 'http://idp.example/keys', audiences: ['x'] },
    ],
    [422, 'url.refused', '/jwks_uri'],
  ],
  [
    'a private key',
    ['PUT', 'issuers/a', { ...ISSUER, issuer: 'https://a', jwks: { keys: [{ ...jwk, d: 'AA' }] } }],
    [422, 'issuer.keys', '/jwks/keys/0'],
  ],
  [
    'a key of small order',
    ['PUT', 'issuers/a', { ...ISSUER, issuer: 'https://a', jwks: { keys: [low] } }],
    [422, 'issuer.keys', '/jwks/keys/0'],
  ],
  [
    'a symmetric algorithm',
    ['PUT', 'issuers/a', { ...ISSUER, issuer: 'https://a', algorithms: ['HS256'] }],
    [422, 'issuer.algorithm', '/algorithms/0'],
  ],
  [
    'an issuer under a second id',
    ['PUT', 'issuers/twin', ISSUER],
    [409, 'issuer.taken', '/issuer'],
  ],
  [
    'an upstream that is no address',
    ['PUT', 'upstreams/a', { url: 'file:///etc/passwd' }],
    [422, 'url.refused', '/url'],
  ],
  [
    'a credential in an address',
    ['PUT', 'upstreams/a', { url: 'https://me:pw@x.example' }],
    [422, 'url.refused', '/url'],
  ],
  [
    'a tool of an unknown upstream',
    ['PUT', 'tools', { tools: [{ name: 'a', upstream: 'none' }] }],
    [422, 'tool.upstream', '/tools/0/upstream'],
  ],
  [
    'a tool twice',
    ['PUT', 'tools', { tools: [{ name: 'a' }, { name: 'a' }] }],
    [422, 'tool.repeated'],
  ],
  [
    'a schema that is none',
    [
      'PUT',
      'tools',
      { tools: [{ name: 'a', input_schema: { properties: { x: { type: 'text' } } } }] },
    ],
    [422, 'tool.schema', '/tools/0/input_schema'],
  ],
  [
    'a time zone that is none',
    ['PUT', '', { time_zone: 'Mars/Base' }],
    [422, 'tenant.time_zone', '/time_zone'],
  ],
  [
    'a ceiling of nothing',
    ['PUT', 'budgets', { ceilings: [BUDGETS.ceilings[0], { scope: 'tenant', window: 'day' }] }],
    [422, 'budgets.ceiling', '/ceilings/1'],
  ],
  [
    'a ceiling of a tenant that names an agent',
    ['PUT', 'budgets', { ceilings: [{ scope: 'task', agent: 'a', window: 'day', cost: 1 }] }],
    [422, 'budgets.ceiling', '/ceilings/0'],
  ],
  [
    'a ceiling below nothing',
    ['PUT', 'budgets', { ceilings: [{ scope: 'session', window: 'day', cost: -1 }] }],
    [400, 'request.schema', '/ceilings/0/cost'],
  ],
  [
    'two rules for one class that runs away',
    [
      'PUT',
      'budgets',
      {
        ceilings: [],
        runaway: [
          { class: 'a', repeats: 3 },
          { class: 'a', times_habit: 5 },
        ],
      },
    ],
    [422, 'budgets.runaway', '/runaway/1'],
  ],
  [
    'a rule without a limit',
    ['PUT', 'budgets', { ceilings: [], runaway: [{ class: 'a', at_least: 10 }] }],
    [422, 'budgets.runaway', '/runaway/0'],
  ],
  ['a fact that is null', ['PUT', 'facts/a', null], [422, 'facts.null']],
  [
    'a fact that holds null',
    ['PUT', 'facts/a', { b: [{ c: null }] }],
    [422, 'facts.null', '/b/0/c'],
  ],
  ['a patch that would put null', ['PATCH', 'facts/a', { b: [null] }], [422, 'facts.null', '/b/0']],
  ['a fact without a name', ['PUT', 'facts/', 1], [422, 'facts.key']],
  ['an empty segment', ['PUT', 'facts/a//b', 1], [422, 'facts.key']],
  ['a broken escape', ['PUT', 'facts/a%ff', 1], [404, 'request.not_found']],
  [
    'a fact that is too large',
    ['PUT', 'facts/a', 'x'.repeat(256 * 1024)],
    [413, 'facts.too_large'],
  ],
  [
    'a deletion with a value',
    ['POST', 'facts', { changes: [{ op: 'delete', key: 'a', value: 1 }] }],
    [400, 'request.schema', '/changes/0'],
  ],
  [
    'an unknown operation on facts',
    ['POST', 'facts', { changes: [{ op: 'add', key: 'a', value: 1 }] }],
    [400, 'request.schema', '/changes/0/op'],
  ],
  [
    'a capability for an unknown agent',
    ['POST', 'capabilities', { agent: 'nobody' }],
    [422, 'agent.unknown', '/agent'],
  ],
  [
    'a capability for too long',
    ['POST', 'capabilities', { agent: 'shop-agent', expires_in_s: 32 * 86_400 }],
    [400, 'request.schema', '/expires_in_s'],
  ],
  [
    'two conditions in one',
    [
      'POST',
      'capabilities',
      { agent: 'shop-agent', arguments: [{ path: '/a', equals: 1, min: 0 }] },
    ],
    [422, 'capability.terms', '/arguments/0'],
  ],
  [
    'a malformed tool pattern',
    ['POST', 'capabilities', { agent: 'shop-agent', tools: ['[a'] }],
    [422, 'capability.terms', '/tools'],
  ],
  ['a policy that nobody put', ['GET', `policies/${digest}`], [404, 'thing.not_found']],
  [
    'the activation of such a policy',
    ['POST', `policies/${digest}/activate`],
    [404, 'thing.not_found'],
  ],
];
it.each(ROWS)('%s', async (_, [method, path, body], [status, code, at]) => {
  const before = (await world.operator.jsm.streams.info('CONTROL')).state.last_seq;
  const answer = await world.call(method, `${ACME}${path === '' ? '' : `/${path}`}`, body);
  const { error } = answer.body;
  expect([answer.status, error.code, error.path]).toEqual([status, code, at]);
  expect(error.help).not.toBe('');
  expect((await world.operator.jsm.streams.info('CONTROL')).state.last_seq).toBe(before);
});

const BODIES: readonly (readonly [name: string, raw: string, type: string, code: string])[] = [
  ['no JSON', '{', 'application/json', 'request.syntax'],
  ['a key twice', '{"class":"a","class":"b"}', 'application/json', 'request.duplicate_key'],
  ['another content type', 'class: a', 'text/yaml', 'request.content_type'],
  ['a number beyond 2^53', '{"class":9007199254740993}', 'application/json', 'request.number'],
  ['a prototype', '{"__proto__":{}}', 'application/json', 'request.forbidden_key'],
  ['more than 2 MiB', `"${'x'.repeat(2 * 1024 * 1024)}"`, 'application/json', 'request.too_large'],
];
it.each(BODIES)('%s', async (_, raw, type, code) => {
  const { body } = await world.call('PUT', `${ACME}/agents/a`, undefined, { raw, type });
  expect(body.error.code).toBe(code);
});

it('what would make too large a record', async () => {
  const value = 'x'.repeat(200 * 1024);
  const changes = ['a', 'b', 'c', 'd'].map((key) => ({ op: 'put', key, value }));
  const { body } = await world.call('POST', `${ACME}/facts`, { changes });
  expect(body.error.code).toBe('request.too_large');
});

it('names that are no tenant', async () => {
  const { body } = await world.call('GET', '/v1/tenants/Acme.x/status');
  expect(body.error.code).toBe('tenant.name');
});

it('wrong tokens, soon without a look; a right one still passes', async () => {
  const wrong = async () => {
    const answer = await fetch(`${world.url()}/v1/operator`, {
      headers: { authorization: 'Bearer cso_wrong' },
    });
    return answer.status;
  };
  const statuses = [];
  for (let attempt = 0; attempt < 25; attempt += 1) statuses.push(await wrong());
  expect([statuses[0], statuses.at(-1)]).toEqual([401, 429]);
  expect(await world.call('GET', '/v1/operator')).toMatchObject({ status: 200 });
});
