// The operators' API over a real broker: every route, and who may use it. What it refuses: refused.test.ts.

import { generateKeyPairSync } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { ADMIN_OPERATIONS } from '#contracts/admin-api.ts';
import { verifyCapability } from '#contracts/capability.ts';
import { mintedKey } from '#contracts/control.ts';

import { type AdminWorld, type Person, startAdminWorld } from '../../support/admin.ts';

let world: AdminWorld;
beforeAll(async () => {
  world = await startAdminWorld();
});
afterAll(() => world.close());

const ACME = '/v1/tenants/acme';
const REVISION = expect.stringMatching(/^r[0-9a-z]+-[0-9a-z]+$/);
const CHANGED = { revision: REVISION, visible: true };
const MOMENT = expect.stringMatching(/^\d{4}-\d\d-\d\dT/);

const jwk = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' });
const ISSUER = { issuer: 'https://idp.example', jwks: { keys: [jwk] }, audiences: ['countersign'] };
const AGENT = { class: 'shop', owner: 'ann@example.com' };
const UPSTREAM = { url: 'http://tools.internal:8080/mcp', kind: 'mcp' };
const TOOL = {
  name: 'refund_order',
  upstream: 'shop',
  input_schema: { type: 'object', properties: { amount: { type: 'number' } } },
};
const BUDGETS = { ceilings: [{ scope: 'agent', window: 'hour', calls: 100 }] };

/** The last event of the feed: leaf and payload. */
async function lastControl(): Promise<string> {
  const { state } = await world.operator.jsm.streams.info('CONTROL');
  const message = await world.operator.jsm.streams.getMessage('CONTROL', { seq: state.last_seq });
  return message?.string() ?? '';
}

describe('things that are put', () => {
  const THINGS: readonly (readonly [name: string, path: string, value: object])[] = [
    ['settings', ACME, { time_zone: 'Europe/Oslo', intent: { required: true } }],
    ['an issuer', `${ACME}/issuers/idp`, ISSUER],
    ['an agent', `${ACME}/agents/shop-agent`, AGENT],
    ['an agent with a SPIFFE id', `${ACME}/agents/spiffe%3A%2F%2Facme%2Fbot`, {}],
    ['a tool server', `${ACME}/upstreams/shop`, UPSTREAM],
    ['ceilings', `${ACME}/budgets`, BUDGETS],
  ];
  it.each(THINGS)('%s are answered with a revision, seen and shown', async (_, path, value) => {
    const put = await world.call('PUT', path, value);
    expect(put).toMatchObject({ status: 200, body: CHANGED });
    const shown = await world.call('GET', path, undefined, { as: 'vera' });
    const id = decodeURIComponent(path.split('/').at(-1) ?? '');
    expect(shown.body).toEqual({
      id: id === 'budgets' ? 'acme' : id,
      revision: put.body.revision,
      changed_at: MOMENT,
      value,
    });
  });

  it('tools stand in the catalogue, and are taken out in the same change', async () => {
    const places = [TOOL, { name: 'lookup_order', upstream: 'shop' }, { name: 'think' }];
    expect(await world.call('PUT', `${ACME}/tools`, { tools: places })).toMatchObject({
      status: 200,
      body: CHANGED,
    });
    const change = {
      tools: [{ name: 'think', class: 'harmless' }],
      removed: [{ name: 'lookup_order', upstream: 'shop' }],
    };
    await world.call('PUT', `${ACME}/tools`, change);
    const { body } = await world.call('GET', `${ACME}/tools`);
    expect(body.items.map(({ value }: { value: object }) => value)).toEqual([
      { name: 'think', class: 'harmless' },
      TOOL,
    ]);
    const shop = await world.call('GET', `${ACME}/tools?upstream=shop`);
    expect(shop.body.items).toHaveLength(1);
  });

  it('a tool server leaves together with its tools', async () => {
    await world.call('PUT', `${ACME}/upstreams/old`, UPSTREAM);
    await world.call('PUT', `${ACME}/tools`, { tools: [{ name: 'dig', upstream: 'old' }] });
    expect(await world.call('DELETE', `${ACME}/upstreams/old`)).toMatchObject({ status: 200 });
    const tools = await world.call('GET', `${ACME}/tools?upstream=old`);
    const servers = await world.call('GET', `${ACME}/upstreams`);
    expect([tools.body.items, servers.body.items.map(({ id }: { id: string }) => id)]).toEqual([
      [],
      ['shop'],
    ]);
    expect(await world.call('DELETE', `${ACME}/upstreams/old`)).toMatchObject({ status: 404 });
  });

  it.each(['issuers/gone', 'agents/gone'])('%s can be deleted once', async (path) => {
    const value = path.startsWith('issuers') ? { ...ISSUER, issuer: 'https://two.example' } : AGENT;
    await world.call('PUT', `${ACME}/${path}`, value);
    const statuses = [];
    for (let time = 0; time < 2; time += 1) {
      statuses.push((await world.call('DELETE', `${ACME}/${path}`)).status);
    }
    expect([...statuses, (await world.call('GET', `${ACME}/${path}`)).status]).toEqual([
      200, 404, 404,
    ]);
  });

  it('what nobody has put is empty, not missing', async () => {
    const budgets = await world.call('GET', '/v1/tenants/new/budgets');
    const settings = await world.call('GET', '/v1/tenants/new');
    expect([budgets.body.value, settings.body.value]).toEqual([{ ceilings: [] }, {}]);
  });

  it('the status counts what there is', async () => {
    const { body } = await world.call('GET', `${ACME}/status`);
    expect(body).toEqual({
      revision: REVISION,
      tenant: 'acme',
      policy: null,
      floor: null,
      counts: { agents: 2, facts: 0, issuers: 1, tools: 2, upstreams: 1 },
    });
  });

  it('an issuer may be shared by tenants, its tokens of one tenant not claimed by another', async () => {
    const shared = { ...ISSUER, issuer: 'https://shared.example' };
    const put = (tenant: string, value: object) =>
      world.call('PUT', `/v1/tenants/${tenant}/issuers/shared`, value);
    expect(await put('theirs', shared)).toMatchObject({ status: 200 });
    expect(await put('acme', shared)).toMatchObject({ status: 200 });
    expect(await put('acme', { ...shared, tenant_value: 'theirs' })).toMatchObject({
      status: 409,
      body: { error: { code: 'issuer.taken', path: '/tenant_value' } },
    });
  });

  it("of a SPIFFE trust domain is one tenant's, unless each says by which claim", async () => {
    const keys = ISSUER.jwks.keys.map((key) => ({ ...key, use: 'jwt-svid' }));
    const mesh = { ...ISSUER, kind: 'jwt-svid', issuer: 'spiffe://mesh.example', jwks: { keys } };
    const put = async (tenant: string, value: object) => {
      const { status, body } = await world.call('PUT', `/v1/tenants/${tenant}/issuers/mesh`, value);
      return status === 200 ? 'put' : `${body.error?.code} ${body.error?.path}`;
    };
    expect([
      await put('acme', { ...mesh, issuer: 'https://mesh.example' }),
      await put('acme', { ...mesh, issuer: 'spiffe://mesh.example/ns' }),
      await put('acme', { ...mesh, jwks: ISSUER.jwks }),
      await put('acme', mesh),
      await put('theirs', mesh),
      await put('theirs', { ...mesh, claims: { tenant: 'org' } }),
      await put('acme', { ...mesh, claims: { tenant: 'org' } }),
      await put('theirs', { ...mesh, claims: { tenant: 'org' } }),
    ]).toEqual([
      'request.schema /issuer',
      'request.schema /issuer',
      'issuer.keys /jwks/keys/0',
      'put',
      'issuer.taken /tenant_value',
      'issuer.taken /tenant_value',
      'put',
      'put',
    ]);
  });
});

describe('facts', () => {
  const FACTS = '/v1/tenants/facts/facts';

  it('are put, merged, shown by name and removed', async () => {
    await world.call('PUT', `${FACTS}/orders/17`, {
      state: 'open',
      note: { by: 'ann', text: 'x' },
    });
    await world.call('PATCH', `${FACTS}/orders/17`, { state: 'paid', note: { text: null } });
    const { body } = await world.call('GET', `${FACTS}/orders/17`);
    expect([body.id, body.value]).toEqual(['orders/17', { state: 'paid', note: { by: 'ann' } }]);
    expect(await world.call('DELETE', `${FACTS}/orders/17`)).toMatchObject({ body: CHANGED });
    expect(await world.call('GET', `${FACTS}/orders/17`)).toMatchObject({ status: 404 });
  });

  it('may be any JSON but null, and named like a path or an address', async () => {
    const names = ['flags/on', 'people/ann@example.com', 'files/src%2Fmain.ts', 'share/100%25'];
    for (const [at, name] of names.entries()) await world.call('PUT', `${FACTS}/${name}`, at);
    const { body } = await world.call('GET', FACTS);
    expect(body.items.map(({ id, value }: { id: string; value: unknown }) => [id, value])).toEqual([
      ['files/src%2Fmain.ts', 2],
      ['flags/on', 0],
      ['people/ann@example.com', 1],
      ['share/100%25', 3],
    ]);
    // The segment of a call's value is the same: this is what a policy will look up.
    expect(await world.entry('fact.facts.people/ann=40example=2Ecom')).toMatchObject({ value: 1 });
  });

  it('change together at one revision', async () => {
    const changes = [
      { op: 'put', key: 'stock/a', value: { left: 3 } },
      { op: 'patch', key: 'stock/a', value: { left: 2 } },
      { op: 'put', key: 'stock/b', value: { left: 1 } },
      { op: 'delete', key: 'flags/on' },
    ];
    const changed = await world.call('POST', FACTS, { changes });
    expect(changed).toMatchObject({ status: 200, body: CHANGED });
    const { body } = await world.call('GET', `${FACTS}?prefix=stock/`);
    expect(
      body.items.map(({ id, revision, value }: Record<string, unknown>) => [id, revision, value]),
    ).toEqual([
      ['stock/a', changed.body.revision, { left: 2 }],
      ['stock/b', changed.body.revision, { left: 1 }],
    ]);
    expect(await world.call('GET', `${FACTS}/flags/on`)).toMatchObject({ status: 404 });
  });

  it('are listed page by page', async () => {
    const first = await world.call('GET', `${FACTS}?limit=2`);
    const after = first.body.items[1].id;
    const rest = await world.call('GET', `${FACTS}?limit=1000&after=${encodeURIComponent(after)}`);
    expect([first.body.items.length, first.body.more, rest.body.more]).toEqual([2, true, false]);
    expect(rest.body.items[0].id > after).toBe(true);
  });
});

describe('revocations', () => {
  const REVOCATIONS = '/v1/tenants/acme/revocations';
  const person = { kind: 'person', id: 'ann@example.com', reason: 'left the company' };

  it('are recorded with who and why, once, and listed', async () => {
    const first = await world.call('POST', REVOCATIONS, person, { as: 'tom' });
    expect([first.status, first.body]).toEqual([201, CHANGED]);
    await world.call('POST', REVOCATIONS, { ...person, reason: 'again' }, { as: 'olga' });
    const { body } = await world.call('GET', REVOCATIONS, undefined, { as: 'vera' });
    expect(body.items.map(({ value }: { value: object }) => value)).toEqual([
      { ...person, by: 'tom', at: expect.any(Number) },
    ]);
  });

  it('name no person in the key of the bucket and the leaf of the chain', async () => {
    const { body } = await world.call('GET', REVOCATIONS);
    expect(body.items[0].id).toMatch(/^person\.[0-9a-f]{26}$/);
    const [leaf = ''] = (await lastControl()).split('\n');
    expect(JSON.parse(leaf)).toMatchObject({ kind: 'control.revocation', target: 'person' });
    expect(leaf).not.toContain('ann');
  });

  const REFUSED: readonly (readonly [name: string, tenant: string, body: object, code: string])[] =
    [
      ['without a reason', 'acme', { kind: 'agent', id: 'a' }, 'request.schema'],
      ['with an empty reason', 'acme', { ...person, reason: '' }, 'request.schema'],
      ['of an unknown kind', 'acme', { ...person, kind: 'tool' }, 'request.schema'],
      ['of nothing', 'acme', { ...person, id: '' }, 'request.schema'],
      ['on the platform, where nobody calls', '_platform', person, 'tenant.name'],
    ];
  it.each(REFUSED)('%s are refused', async (_, tenant, body, code) => {
    const answer = await world.call('POST', `/v1/tenants/${tenant}/revocations`, body);
    expect(answer.body.error.code).toBe(code);
  });
});

describe('kill switches', () => {
  const SWITCHES = '/v1/tenants/acme/switches';
  const RELEASE = `${SWITCHES}/release`;
  const agent = { scope: 'agent', id: 'shop-agent' };
  const listed = async (tenant = 'acme') => {
    const { body } = await world.call('GET', `/v1/tenants/${tenant}/switches`);
    return body.items.map(({ value }: { value: object }) => value);
  };

  it('are engaged by one person and released by two', async () => {
    const engaged = await world.call(
      'POST',
      SWITCHES,
      { ...agent, reason: 'loops' },
      { as: 'tom' },
    );
    expect([engaged.status, engaged.body]).toEqual([201, { ...CHANGED, engaged: true }]);
    // Engaging it again keeps who did it first.
    await world.call('POST', SWITCHES, { ...agent, reason: 'again' }, { as: 'olga' });
    const standing = { ...agent, by: 'tom', reason: 'loops', at: expect.any(Number) };
    expect(await listed()).toEqual([{ ...standing, release: null }]);

    const first = await world.call('POST', RELEASE, agent, { as: 'olga' });
    expect([first.status, first.body]).toEqual([200, { ...CHANGED, engaged: true }]);
    const same = await world.call('POST', RELEASE, agent, { as: 'olga' });
    expect([same.status, same.body.error.code]).toEqual([409, 'switch.same_person']);
    const release = { by: 'olga', reason: '', at: expect.any(Number) };
    expect(await listed()).toEqual([{ ...standing, release }]);

    const second = await world.call('POST', RELEASE, agent, { as: 'ada' });
    expect([second.status, second.body]).toEqual([200, { ...CHANGED, engaged: false }]);
    expect(await listed()).toEqual([]);
    const third = await world.call('POST', RELEASE, agent, { as: 'ada' });
    expect(third.body.error.code).toBe('thing.not_found');
  });

  it('of the whole installation are an operator’s of all tenants, and every tenant sees them', async () => {
    const everything = '/v1/tenants/_platform/switches';
    const body = { scope: 'global', reason: 'incident' };
    const tom = await world.call('POST', everything, body, { as: 'tom' });
    const vera = await world.call('POST', everything, body, { as: 'vera' });
    expect([tom.body.error.code, vera.body.error.code]).toEqual([
      'operator.tenant',
      'operator.role',
    ]);
    expect((await world.call('POST', everything, body, { as: 'olga' })).status).toBe(201);
    expect(await listed('acme')).toMatchObject([{ scope: 'global', id: '', by: 'olga' }]);
    for (const as of ['olga', 'ada'] as const)
      await world.call('POST', `${everything}/release`, { scope: 'global' }, { as });
    expect(await listed('_platform')).toEqual([]);
  });

  const REFUSED: readonly (readonly [name: string, tenant: string, body: object, code: string])[] =
    [
      ['without a reason', 'acme', agent, 'request.schema'],
      ['of an unknown scope', 'acme', { scope: 'class', id: 'a', reason: 'r' }, 'request.schema'],
      ['of an agent without its id', 'acme', { scope: 'agent', reason: 'r' }, 'switch.place'],
      ['of everything in a tenant', 'acme', { scope: 'global', reason: 'r' }, 'switch.place'],
      ['of a tenant with an id', 'acme', { scope: 'tenant', id: 'x', reason: 'r' }, 'switch.place'],
      ['of an agent of the platform', '_platform', { ...agent, reason: 'r' }, 'switch.place'],
    ];
  it.each(REFUSED)('%s are refused', async (_, tenant, body, code) => {
    const answer = await world.call('POST', `/v1/tenants/${tenant}/switches`, body);
    expect(answer.body.error.code).toBe(code);
  });
});

describe('capabilities', () => {
  it('are minted, known before they are given out, and stored nowhere', async () => {
    const terms = {
      agent: 'shop-agent',
      tools: ['refund_order', 'lookup_*'],
      forbidden_tools: ['lookup_secret'],
      upstreams: ['shop'],
      calls: 5,
      expires_in_s: 600,
      task: 't-1',
      arguments: [{ path: '/currency', one_of: ['EUR', 'NOK'] }],
      amounts: [{ path: '/amount', max: 99.5, total: 500 }],
      sender: { jkt: '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I' },
    };
    const { status, body } = await world.call('POST', `${ACME}/capabilities`, terms, {
      as: 'tom',
      reason: 'for the night shift',
    });
    expect([status, body]).toEqual([
      201,
      {
        ...CHANGED,
        id: expect.any(String),
        capability: expect.any(String),
        agent: 'shop-agent',
        expires_at: MOMENT,
      },
    ]);
    const claims = JSON.parse(Buffer.from(body.capability, 'base64url').toString());
    expect([claims.tenant, claims.sub, claims.cav.map(({ t }: { t: string }) => t)]).toEqual([
      'acme',
      'shop-agent',
      [
        'agent_lock',
        'exp',
        'tool_allow',
        'tool_deny',
        'upstream',
        'task',
        'sender',
        'args',
        'amount',
        'max_calls',
      ],
    ]);
    const keyed = await world.operator.bucket('keyed');
    const minted = await keyed.get(mintedKey('acme', body.id));
    const guess = verifyCapability(body.capability, [Buffer.alloc(32)]);
    expect(guess.ok).toBe(false);
    expect(minted?.json()).toMatchObject({ caveats: 10, agent: 'shop-agent' });
    const stream = await world.operator.jsm.streams.info('CONTROL');
    const stored = await world.operator.jsm.streams.getMessage('CONTROL', {
      seq: stream.state.last_seq,
    });
    const text = stored?.string() ?? '';
    expect(text).toContain('for the night shift');
    expect(text).not.toContain(body.capability);
    expect(text).not.toContain(claims.sig);
  });
});

describe('who may what', () => {
  /** A request that would succeed, for the operations that need more than a path. */
  const path = (template: string) =>
    template
      .replace('{tenant}', 'acme')
      .replace('{id}', 'x')
      .replace('{agent}', 'x')
      .replace('{name}', 'x')
      .replace('{digest}', `sha256:${'0'.repeat(64)}`)
      .replace('{key}', 'x');
  const operations = Object.entries(ADMIN_OPERATIONS);
  const allowed: Record<Person, (role: string) => boolean> = {
    ada: () => true,
    olga: (role) => role !== 'admin',
    vera: (role) => role === 'viewer',
    tom: (role) => role !== 'admin',
  };

  it.each(operations)('%s is refused without a token', async (_, { method, path: template }) => {
    const answer = await world.call(method, path(template), undefined, { as: 'nobody' });
    expect([answer.status, answer.body.error.code]).toEqual([401, 'operator.missing']);
    expect(answer.headers.get('www-authenticate')).toContain('Bearer');
  });

  it.each(operations)('%s takes its role', async (_, { method, path: template, role }) => {
    for (const person of ['olga', 'vera', 'tom'] as const) {
      // A body that no operation takes: what passes the roles is refused as malformed, and nothing changes.
      const raw = method === 'GET' ? {} : { raw: '[' };
      const answer = await world.call(method, path(template), undefined, { as: person, ...raw });
      const roles = answer.body.error?.code === 'operator.role';
      expect([person, roles]).toEqual([person, !allowed[person](role)]);
    }
  });

  it('an operator of one tenant has no other, and not the platform', async () => {
    const codes = [];
    for (const tenant of ['acme', 'other', '_platform']) {
      const { body } = await world.call('GET', `/v1/tenants/${tenant}/status`, undefined, {
        as: 'tom',
      });
      codes.push(body.error?.code ?? body.tenant);
    }
    const { body } = await world.call('GET', '/v1/tenants', undefined, { as: 'tom' });
    expect([codes, body.tenants]).toEqual([
      ['acme', 'operator.tenant', 'operator.tenant'],
      ['acme'],
    ]);
  });

  it('the platform is changed by admins only', async () => {
    const body = { changes: [{ op: 'put', key: 'x', value: 1 }] };
    const olga = await world.call('POST', '/v1/tenants/_platform/facts', body, { as: 'olga' });
    const ada = await world.call('POST', '/v1/tenants/_platform/facts', body);
    expect([olga.body.error.code, ada.status]).toEqual(['operator.role', 200]);
  });

  it('a person says who they are', async () => {
    const { body } = await world.call('GET', '/v1/operator', undefined, { as: 'tom' });
    expect(body).toEqual({ id: 'tom', name: 'Tom', roles: ['operator'], tenants: ['acme'] });
  });

  it('persons are registered without their tokens being shown, and lose every right at once', async () => {
    const eve = { name: 'Eve', roles: ['viewer'], token_hash: `sha256:${'1'.repeat(64)}` };
    await world.call('PUT', '/v1/operators/eve', eve);
    const { body } = await world.call('GET', '/v1/operators');
    expect(body.items.at(1)).toMatchObject({ id: 'eve', value: { name: 'Eve' } });
    expect(JSON.stringify(body)).not.toContain('sha256:');
    const gone = await world.call('DELETE', '/v1/operators/eve');
    const last = await world.call('DELETE', '/v1/operators/ada');
    expect([gone.status, last.body.error.code]).toEqual([200, 'operator.last_admin']);
  });
});

it('the OpenAPI document is served to everybody', async () => {
  const { body } = await world.call('GET', '/openapi.json', undefined, { as: 'nobody' });
  expect(body.openapi).toBe('3.1.0');
});
