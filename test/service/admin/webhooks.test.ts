// Facts that a system sends by itself: signed, once, in order, its own; and registered sources of operators.

import { createHmac, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { CONTROL_KEYS } from '#contracts/control.ts';

import { type AdminWorld, startAdminWorld } from '../../support/admin.ts';

const SECRET = randomBytes(32);
const OLD = randomBytes(32);
const text = (secret: Buffer) => `whsec_${secret.toString('base64')}`;

let folder: string;
let world: AdminWorld;
let url: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'countersign-sources-'));
  await mkdir(join(folder, 'acme'));
  await writeFile(join(folder, 'acme', 'hr.secret'), `${text(SECRET)}\n${text(OLD)}\n`);
  await writeFile(join(folder, 'acme', 'short.secret'), 'whsec_c2hvcnQ=');
  world = await startAdminWorld();
  ({ url } = await world.startAdmin({ COUNTERSIGN_FACT_SOURCES_DIR: folder }));
  for (const id of ['hr', 'short', 'bare']) await register(id, { keys: ['people'], max_age_s: 60 });
});
afterAll(async () => {
  await world.close();
  await rm(folder, { recursive: true, force: true });
});

const register = (id: string, value: object) =>
  world.call('PUT', `/v1/tenants/acme/fact-sources/${id}`, value);

interface Delivery {
  readonly id?: string;
  readonly secret?: Buffer;
  readonly at?: number;
  readonly source?: string;
  readonly tenant?: string;
  /** Sent instead of what was signed. */
  readonly sent?: string;
  readonly signature?: (made: string) => string;
}

let deliveries = 0;
async function deliver(body: object, how: Delivery = {}) {
  const { id = `msg_${(deliveries += 1)}`, secret = SECRET, at = Date.now(), source = 'hr' } = how;
  const { tenant = 'acme', signature = (made: string) => `v1,${made}` } = how;
  const signed = JSON.stringify(body);
  const time = String(Math.floor(at / 1_000));
  const made = createHmac('sha256', secret).update(`${id}.${time}.${signed}`).digest('base64');
  const response = await fetch(`${url}/v1/webhooks/${tenant}/${source}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': time,
      'webhook-signature': signature(made),
    },
    body: how.sent ?? signed,
  });
  // oxlint-disable-next-line typescript/no-explicit-any -- answers of several shapes
  const answer = (await response.json()) as any;
  return {
    status: response.status,
    answer,
    code: response.status === 200 ? 'done' : `${answer.error.code}${answer.error.path ?? ''}`,
  };
}

const change = (active: boolean, name = 'people/ann@example.com') => ({
  changes: [{ op: 'put', key: name, value: { active } }],
});
const ANN = CONTROL_KEYS.fact('acme', 'people/ann=40example=2Ecom');
const known = async () => (await world.entry(ANN))?.value;

describe('a delivery', () => {
  it('is an event with a revision, by its source, and its word is as recent as it says', async () => {
    const asOf = new Date(Date.now() - 1_000).toISOString();
    const { status, answer } = await deliver({ ...change(true), as_of: asOf });
    expect([status, answer]).toEqual([200, { revision: expect.any(String), visible: true }]);
    expect(await known()).toEqual({ active: true });
    const { body } = await world.call('GET', '/v1/tenants/acme/fact-sources');
    const shown = body.items.find(({ id }: { id: string }) => id === 'hr');
    expect(shown.value).toEqual({ keys: ['people'], max_age_s: 60, as_of: asOf });
    const { state } = await world.operator.jsm.streams.info('CONTROL');
    const last = await world.operator.jsm.streams.getMessage('CONTROL', { seq: state.last_seq });
    expect(JSON.parse(last?.string().split('\n')[0] ?? '')).toMatchObject({
      by: 'source:hr',
      kind: 'control.facts',
    });
  });

  it('counts once by its id, also when two come at the same time', async () => {
    const before = (await world.operator.jsm.streams.info('CONTROL')).state.last_seq;
    const both = await Promise.all([
      deliver(change(true), { id: 'twice' }),
      deliver(change(true), { id: 'twice' }),
    ]);
    await deliver(change(false));
    const again = await deliver(change(true), { id: 'twice' });
    const revisions = new Set([...both, again].map(({ answer }) => answer.revision));
    expect([revisions.size, again.answer.repeated, await known()]).toEqual([
      1,
      true,
      { active: false },
    ]);
    const { last_seq: after } = (await world.operator.jsm.streams.info('CONTROL')).state;
    expect(after - before).toBe(2);
  });

  it('without changes says that its source is alive', async () => {
    expect((await deliver({ changes: [] })).code).toBe('done');
  });

  it('may be signed with either of two secrets', async () => {
    const two = (made: string) => `v1a,xyz v1,${randomBytes(32).toString('base64')} v1,${made}`;
    expect((await deliver(change(true), { secret: OLD, signature: two })).code).toBe('done');
  });

  const refused: [name: string, body: object, how: Delivery, code: string][] = [
    ['of another secret', change(true), { secret: randomBytes(32) }, 'webhook.refused'],
    ['with another body', change(true), { sent: '{"changes":[]}' }, 'webhook.refused'],
    ['without a signature', change(true), { signature: () => '' }, 'webhook.refused'],
    [
      'with a signature of another kind',
      change(true),
      { signature: (m) => `v1a,${m}` },
      'webhook.refused',
    ],
    ['for a source without a secret', change(true), { source: 'bare' }, 'webhook.refused'],
    [
      'for a source with a short one',
      change(true),
      { source: 'short', secret: Buffer.from('short') },
      'webhook.refused',
    ],
    ['for another tenant', change(true), { tenant: 'bolt' }, 'webhook.refused'],
    [
      'of a source with a path for a name',
      change(true),
      { source: '..%2Facme%2Fhr' },
      'webhook.refused',
    ],
    ['that is old', change(true), { at: Date.now() - 301_000 }, 'webhook.time'],
    ['of the future', change(true), { at: Date.now() + 900_000 }, 'webhook.time'],
    ['about what it does not feed', change(true, 'orders/17'), {}, 'facts.source/changes/0/key'],
    [
      'that would be outdated',
      { ...change(true), as_of: '2020-01-01T00:00:00Z' },
      {},
      'facts.outdated/as_of',
    ],
    ['about the future', { changes: [], as_of: '2999-01-01T00:00:00Z' }, {}, 'facts.as_of/as_of'],
    ['about no time', { changes: [], as_of: 'soon' }, {}, 'facts.as_of/as_of'],
    ['of another shape', { change: [] }, {}, 'request.schema'],
  ];
  it.each(refused)('%s is refused', async (_, body, how, code) => {
    const before = (await world.operator.jsm.streams.info('CONTROL')).state.last_seq;
    expect((await deliver(body, how)).code).toMatch(new RegExp(`^${code}`));
    expect((await world.operator.jsm.streams.info('CONTROL')).state.last_seq).toBe(before);
  });

  it('of an unregistered source is refused though its secret is still there', async () => {
    await world.call('DELETE', '/v1/tenants/acme/fact-sources/hr');
    expect((await deliver(change(true))).code).toBe('facts.source_unknown');
  });
});

describe('an operator', () => {
  it('may speak for a source, and says something', async () => {
    await register('crm', { keys: ['orders'], max_age_s: 60 });
    const facts = '/v1/tenants/acme/facts';
    const said = async (body: object) => {
      const answer = await world.call('POST', facts, body, { as: 'tom' });
      return answer.status === 200 ? 'done' : answer.body.error.code;
    };
    expect([
      await said({ changes: [{ op: 'put', key: 'orders/1', value: 1 }], source: 'crm' }),
      await said({ changes: [{ op: 'put', key: 'people/1', value: 1 }], source: 'crm' }),
      await said({ changes: [], source: 'crm' }),
      await said({ changes: [], source: 'nobody' }),
      await said({ changes: [] }),
    ]).toEqual(['done', 'facts.source', 'done', 'facts.source_unknown', 'facts.none']);
  });

  it('names keys and a bound that can be', async () => {
    expect([
      (await register('bad', { keys: ['a//b'], max_age_s: 60 })).body.error.code,
      (await register('bad', { keys: ['a'], max_age_s: 1 })).body.error.code,
      (await register('bad', { keys: [], max_age_s: 60 })).body.error.code,
    ]).toEqual(['facts.key', 'request.schema', 'request.schema']);
  });
});
