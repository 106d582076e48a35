// Policies from sources to what a tenant runs: built by the real opa, stored by digest, activated, rolled back.

import { gzipSync } from 'node:zlib';

import { Header } from 'tar';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { CONTROL_KEYS } from '#contracts/control.ts';
import { openBundle } from '#policies/engine/bundle.ts';

import { type AdminWorld, startAdminWorld } from '../../support/admin.ts';

let world: AdminWorld;
beforeAll(async () => {
  world = await startAdminWorld();
});
afterAll(() => world.close());

const POLICIES = '/v1/tenants/acme/policies';
const DIGEST = expect.stringMatching(/^sha256:[0-9a-f]{64}$/);

const ALLOW = 'package countersign.policy\n\ndecision := {"verdict": "allow"}\n';
const BLOCK = 'package countersign.policy\n\ndecision := {"verdict": "block"}\n';
const FLOOR = 'package countersign.floor\n\ndecision := {"verdict": "allow"}\n';
const TEST = `package countersign.policy_test

import data.countersign.policy

test_allows if policy.decision.verdict == "allow"
`;

/** A tar archive of plain files. */
function tarOf(files: Readonly<Record<string, string>>): Buffer {
  const parts: Buffer[] = [];
  for (const [path, text] of Object.entries(files)) {
    const header = new Header({ path, mode: 0o644, size: Buffer.byteLength(text), type: 'File' });
    const block = Buffer.alloc(512);
    header.encode(block);
    const padding = Buffer.alloc((512 - (Buffer.byteLength(text) % 512)) % 512);
    parts.push(block, Buffer.from(text), padding);
  }
  return Buffer.concat([...parts, Buffer.alloc(1_024)]);
}

const put = (files: Record<string, string>, tenant = 'acme') =>
  world.call('POST', `/v1/tenants/${tenant}/policies`, { files, name: 'try' });
/** A build takes about a second: each of the two policies is put once. */
const digests = new Map<string, Promise<string>>();
const digestOf = async (files: Record<string, string>): Promise<string> => {
  const name = JSON.stringify(files);
  const digest = digests.get(name) ?? put(files).then(({ body }) => String(body.digest));
  digests.set(name, digest);
  return digest;
};
const TESTED = { 'policy.rego': ALLOW, 'policy_test.rego': TEST };
const BLOCKING = { 'policy.rego': BLOCK };
const activate = (digest: string, tenant = 'acme') =>
  world.call('POST', `/v1/tenants/${tenant}/policies/${digest}/activate`);

describe('a policy', () => {
  it('is built, tested, stored under its digest, and not active before somebody says so', async () => {
    const { status, body } = await put(TESTED);
    expect([status, body]).toEqual([
      201,
      {
        revision: expect.any(String),
        visible: true,
        digest: DIGEST,
        role: 'tenant',
        findings: [],
        tests: { passed: 1, failed: 0, skipped: 0, coverage: 100, not_covered: [] },
      },
    ]);
    const store = await world.operator.objects('bundles');
    const bytes = (await store.getBlob(body.digest)) ?? new Uint8Array();
    expect(openBundle(bytes, body.digest, 'tenant').digest).toBe(body.digest);
    expect(await world.entry(CONTROL_KEYS.policy('acme'))).toBe(undefined);

    const activated = await activate(body.digest);
    expect(activated.body).toMatchObject({ visible: true, digest: body.digest, previous: null });
    expect((await world.entry(CONTROL_KEYS.policy('acme')))?.value).toEqual({
      digest: body.digest,
      name: 'try',
    });
  });

  it('comes as an archive too, with the same digest', async () => {
    for (const [raw, type] of [
      [tarOf(TESTED), 'application/x-tar'],
      [gzipSync(tarOf(TESTED)), 'application/gzip'],
    ] as const) {
      const { status, body } = await world.call('POST', `${POLICIES}?name=try`, undefined, {
        raw,
        type,
      });
      expect([status, body.digest]).toEqual([201, await digestOf(TESTED)]);
    }
  });

  it('is shown with its sources, and the way back is known', async () => {
    const first = await digestOf(TESTED);
    const second = await digestOf(BLOCKING);
    await activate(first);
    await activate(second);
    const { body: listed } = await world.call('GET', POLICIES);
    expect([listed.active, listed.previous]).toEqual([second, first]);
    const ids = listed.items.map(({ id }: { id: string }) => id);
    expect(new Set(ids)).toEqual(new Set([first, second]));
    const { body: shown } = await world.call('GET', `${POLICIES}/${second}`);
    expect(shown).toEqual({
      revision: expect.any(String),
      digest: second,
      name: 'try',
      role: 'tenant',
      active: true,
      files: { 'policy.rego': BLOCK },
    });
    // Activating it again must not forget where back is.
    expect((await activate(second)).body.previous).toBe(first);
    expect((await activate(first)).body.previous).toBe(second);
  });

  it('of one tenant is not there for another, even with the digest', async () => {
    const digest = await digestOf(TESTED);
    const shown = await world.call('GET', `/v1/tenants/other/policies/${digest}`);
    const activated = await activate(digest, 'other');
    expect([shown.status, activated.status]).toEqual([404, 404]);
  });

  it('of the platform is a floor, and only admins put one', async () => {
    const tenants = await put({ 'policy.rego': ALLOW }, '_platform');
    const floor = await put({ 'floor.rego': FLOOR }, '_platform');
    const olga = await world.call(
      'POST',
      '/v1/tenants/_platform/policies',
      { files: { 'floor.rego': FLOOR } },
      { as: 'olga' },
    );
    expect([tenants.status, floor.body.role, olga.body.error.code]).toEqual([
      422,
      'floor',
      'operator.role',
    ]);
    await activate(floor.body.digest, '_platform');
    const { body } = await world.call('GET', '/v1/tenants/acme/status');
    expect(body.floor).toBe(floor.body.digest);
  });
});

describe('what is not accepted', () => {
  const ROWS: readonly (readonly [
    name: string,
    files: Record<string, string>,
    finding: { file: string; line: number },
  ])[] = [
    [
      'is no Rego',
      { 'policy.rego': 'package countersign.policy\n\ndecision := {\n' },
      { file: 'policy.rego', line: 4 },
    ],
    [
      'calls a function that is not there',
      { 'policy.rego': `${ALLOW}\nx := http.send({"url": "https://x.example"})\n` },
      { file: 'policy.rego', line: 5 },
    ],
    [
      'fails its test',
      { 'policy.rego': BLOCK, 'policy_test.rego': TEST },
      { file: 'policy_test.rego', line: 5 },
    ],
    ['is empty', { 'README.md': 'nothing' }, { file: '', line: 0 }],
  ];
  it.each(ROWS)('%s', async (_, files, finding) => {
    const before = (await world.operator.jsm.streams.info('CONTROL')).state.last_seq;
    const { status, body } = await put(files);
    expect([status, body.error.code]).toEqual([422, 'policy.refused']);
    expect(body.findings).toContainEqual(
      expect.objectContaining({ severity: 'error', ...finding }),
    );
    expect((await world.operator.jsm.streams.info('CONTROL')).state.last_seq).toBe(before);
  });

  it('comes in no archive', async () => {
    const { body } = await world.call('POST', POLICIES, undefined, {
      raw: 'no archive',
      type: 'application/gzip',
    });
    expect(body.error.code).toBe('policy.archive');
  });
});

it('without the compiler everything else goes on', async () => {
  const { url, stop } = await world.startAdmin({ COUNTERSIGN_OPA: '/nonexistent/opa' });
  const files = { 'policy.rego': ALLOW };
  const refused = await world.call('POST', POLICIES, { files }, { url });
  const fact = await world.call('PUT', '/v1/tenants/acme/facts/a', 1, { url });
  expect([refused.status, refused.body.error.code, fact.status]).toEqual([
    503,
    'policy.compiler_away',
    200,
  ]);
  await stop();
});
