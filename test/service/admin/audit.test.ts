// Reads of the chain over HTTP: what is shown, to whom, page by page; what tampering does to it; without a database.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import type { AuditEnd, AuditLine } from '#contracts/audit-api.ts';
import { parseHash, verifyChain } from '#contracts/chain.ts';
import { asApprovalId } from '#contracts/ids.ts';
import { payloadFault } from '#contracts/payload.ts';
import { sha256 } from '#contracts/record.ts';
import { maskedFault } from '#contracts/redaction.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import {
  type AdminWorld,
  type Answer,
  type RequestOptions,
  startAdminWorld,
} from '#test/support/admin.ts';
import { type Evidence, startEvidence } from '#test/support/evidence.ts';
import {
  controlRecord,
  decisionRecord,
  freshDecisionId,
  outcomeRecord,
  tenantOf,
} from '#test/support/records.ts';

const acme = tenantOf('acme');
const BUNDLE = new TextEncoder().encode('{"a":"bundle"}');
const digest = sha256(BUNDLE);
const START = Date.parse('2026-11-21T08:00:00Z');

const HELD = asApprovalId(freshDecisionId());

// Sequence n of acme is records[n - 1].
const decisions = Array.from({ length: 6 }, (_, index) =>
  decisionRecord(acme, {
    args: { order_id: `A-${index}` },
    leaf: {
      at: START + index * 1_000,
      agent: index % 2 === 0 ? 'even-bot' : 'odd-bot',
      verdict: index === 4 ? 'block' : 'allow',
      reason: index === 4 ? 'policy.blocked' : 'policy.allowed',
      person: index < 3 ? 'p-alice' : 'p-bob',
      tool: index === 1 ? 'refund_order' : 'lookup_order',
      upstream: index === 5 ? 'crm' : 'shop',
      mode: index === 2 ? 'observe' : 'enforce',
      approval_id: index === 3 ? HELD : '',
      policies: [{ digest, engine: 'rego', role: 'tenant' }],
    },
  }),
);

let evidence: Evidence;
let world: AdminWorld;
let folder: string;
let url: string;
let call: (path: string, how?: RequestOptions) => Promise<Answer>;

beforeAll(async () => {
  [evidence, world] = await Promise.all([startEvidence(), startAdminWorld()]);
  folder = await mkdtemp(join(tmpdir(), 'countersign-audit-'));
  const chainer = await evidence.startChainer();
  const shard = SUBJECTS.decisionBatch(0);
  await evidence.store('decision-worker', shard, decisions);
  await evidence.store('decision-worker', shard, [decisionRecord(tenantOf('other'))]);
  await evidence.drained();
  const { id } = decisions[0]!;
  await evidence.store('ingress', SUBJECTS.outcome(acme, 0), [
    outcomeRecord(acme, id, { at: START + 10_000 }),
  ]);
  await evidence.drained();
  await evidence.store('admin', SUBJECTS.control(acme, 'agent'), [
    controlRecord(acme, { at: START + 11_000 }),
  ]);
  await evidence.drained();
  await chainer.stop();

  const databaseUrl = join(folder, 'database.url');
  await writeFile(databaseUrl, evidence.databaseUrl('countersign_admin'));
  const bundles = await world.operator.objects('bundles');
  await bundles.putBlob({ name: digest }, BUNDLE);
  ({ url } = await world.startAdmin({
    COUNTERSIGN_DATABASE_URL_FILE: databaseUrl,
    COUNTERSIGN_AT_REST_KEYS_FILE: evidence.config.COUNTERSIGN_AT_REST_KEYS_FILE,
  }));
  call = (path, how = {}) =>
    world.call('GET', `/v1/tenants/acme/audit${path}`, undefined, { as: 'vera', url, ...how });
});
afterAll(async () => {
  await world.close();
  await evidence.stop();
  await rm(folder, { recursive: true, force: true });
});

const sequences = ({ body }: Answer): number[] =>
  body.items.map(({ sequence }: { sequence: number }) => sequence);

describe('the list', () => {
  test('shows each row as its entry says', async () => {
    const { status, body } = await call('?after=0&limit=1');
    const { leaf } = decisions[0]!;
    expect({ status, body }).toEqual({
      status: 200,
      body: {
        items: [
          {
            sequence: 1,
            kind: 'decision',
            record_id: decisions[0]!.id,
            decision_id: decisions[0]!.id,
            verdict: 'allow',
            agent: 'even-bot',
            at: '2026-11-21T08:00:00.000Z',
            hash: (await evidence.rows('acme'))[0]!.hash,
            source: { epoch: expect.any(String), index: 0, sequence: 1, stream: 'DECISIONS' },
            leaf: JSON.parse(leaf),
          },
        ],
        head: { sequence: 8, hash: (await evidence.rows('acme'))[7]!.hash },
        more: true,
        next: expect.any(String),
      },
    });
  });

  test.each([
    ['the newest first', '', [8, 7, 6, 5, 4, 3, 2, 1]],
    ['before a row', '?before=4', [3, 2, 1]],
    ['behind a row', '?after=5', [6, 7, 8]],
    ['some of them', '?limit=2', [8, 7]],
    ['behind the end', '?after=8', []],
    ['of a kind', '?kind=outcome', [7]],
    ['of all kinds of changes', '?kind=control', [8]],
    ['with a verdict', '?verdict=block', [5]],
    ['of an agent', '?agent=odd-bot&after=0', [2, 4, 6]],
    ['about a decision', `?decision_id=${decisions[0]!.id}`, [7, 1]],
    ['since a moment', '?since=2026-11-21T08:00:05Z', [8, 7, 6]],
    ['until a moment, without it', '?until=2026-11-21T08:00:02Z', [2, 1]],
    [
      'of a time elsewhere',
      '?since=2026-11-21T09:00:01%2B01:00&until=2026-11-21T09:00:03%2B01:00',
      [3, 2],
    ],
    ['of nobody', '?agent=nobody', []],
    ['on behalf of a person', '?person=p-alice', [3, 2, 1]],
    ['changed by an operator', '?person=ada', [8]],
    ['of a tool', '?tool=refund_order', [2]],
    ['of an upstream', '?upstream=crm', [6]],
    ['with a reason', '?reason=policy.blocked', [5]],
    ['with a reason that most have', '?reason=policy.allowed&person=p-bob', [6, 4]],
    ['with the status of an outcome', '?reason=executed', [7]],
    ['in a mode', '?mode=observe', [3]],
    ['of an approval', `?approval=${HELD}`, [4]],
    ['that fit all of several conditions', '?agent=even-bot&upstream=shop&verdict=allow', [3, 1]],
    ['about a decision, of a kind', `?decision_id=${decisions[0]!.id}&kind=outcome`, [7]],
    ['with a condition, in the order of the chain', '?after=2&person=p-bob', [4, 5, 6]],
  ])('%s', async (_, query, expected) => {
    expect(sequences(await call(query))).toEqual(expected);
  });

  test('is read page by page to its end', async () => {
    const seen: number[] = [];
    for (let after = 0, more = true; more; after = seen.at(-1)!) {
      const page = await call(`?after=${after}&limit=3`);
      seen.push(...sequences(page));
      more = page.body.more as boolean;
    }
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test.each([
    ['the newest first', '', [8, 7, 6, 5, 4, 3, 2, 1]],
    ['in the order of the chain', '&after=0', [1, 2, 3, 4, 5, 6, 7, 8]],
    ['of some', '&verdict=allow', [6, 4, 3, 2, 1]],
    ['of some, in the order of the chain', '&verdict=allow&after=1', [2, 3, 4, 6]],
  ])('goes on from page to page: %s', async (_, query, expected) => {
    const pages: number[][] = [];
    let cursor = '';
    for (let more = true; more;) {
      const page = await call(
        `?limit=2${query.replace(cursor === '' ? '' : /&after=\d/, '')}${cursor}`,
      );
      pages.push(sequences(page));
      more = page.body.more as boolean;
      expect(more).toBe(page.body.next !== undefined);
      cursor = `&cursor=${page.body.next}`;
    }
    expect(pages.flat()).toEqual(expected);
    expect(pages.length).toBe(Math.ceil(expected.length / 2));
  });

  test.each([
    ['a cursor that is none', '?cursor=abc'],
    ['a cursor with a place', '?cursor=bi4xLjE&after=1'],
    ['an empty condition', '?tool='],
    ['a page of nothing', '?limit=0'],
    ['an unknown parameter', '?verdicts=allow'],
    ['both directions', '?after=1&before=5'],
    ['a limit that is none', '?limit=ten'],
    ['a limit that is too large', '?limit=1001'],
    ['a decision id that is none', '?decision_id=1'],
    ['a time without zone', '?since=2026-11-21T08:00:00'],
  ])('refuses %s', async (_, query) => {
    expect(await call(query)).toMatchObject({
      status: 400,
      body: { error: { code: 'request.schema' } },
    });
  });
});

/** Reads of payloads as the stream has them: who, what, which, why, plain. */
async function reads(): Promise<unknown[]> {
  const { state } = await world.operator.jsm.streams.info('CONTROL');
  const found: unknown[] = [];
  for (let seq = state.first_seq; seq <= state.last_seq; seq += 1) {
    const message = await world.operator.jsm.streams.getMessage('CONTROL', { seq });
    const [leaf = '', payload = ''] = message?.string().split('\n') ?? [];
    const { kind, by, action, target, reason } = JSON.parse(leaf);
    if (kind !== 'control.read') continue;
    found.push([by, action, target, reason, JSON.parse(payload).sections.value.plain]);
  }
  return found;
}

/** Lines of the stream of rows. */
async function stream(query = '', as: 'vera' | 'olga' = 'vera'): Promise<(AuditLine | AuditEnd)[]> {
  const response = await fetch(new URL(`/v1/tenants/acme/audit/rows${query}`, url), {
    headers: { authorization: `Bearer ${world.token(as)}` },
  });
  expect(response.headers.get('content-type')).toBe('application/x-ndjson');
  const lines = (await response.text()).trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as AuditLine | AuditEnd);
}

describe('the stream of rows', () => {
  test('is what a verifier needs, plain payloads included', async () => {
    const lines = await stream('?payloads=true&plain=true&why=check', 'olga');
    const { head } = lines.pop() as AuditEnd;
    const rows = lines as AuditLine[];
    expect(rows).toHaveLength(8);
    expect(verifyChain('acme', rows, head)).toBeUndefined();
    const leaf = ({ entry }: AuditLine) => (JSON.parse(entry) as { body: never }).body;
    expect(rows.map((row) => payloadFault(leaf(row), row.payload ?? ''))).toEqual(
      rows.map(() => ''),
    );
  });

  test('has no payloads unless they are asked for, and begins where it is told', async () => {
    const lines = await stream('?after=6');
    expect(lines.map((line) => Object.keys(line))).toEqual([
      ['entry', 'hash'],
      ['entry', 'hash'],
      ['head'],
    ]);
  });

  test('masks payloads, which still say what of them is proved', async () => {
    const rows = (await stream('?payloads=true', 'olga')).slice(0, -1) as AuditLine[];
    const leaf = ({ entry }: AuditLine) => (JSON.parse(entry) as { body: never }).body;
    expect(rows.map((row) => maskedFault(leaf(row), row.payload ?? ''))).toEqual(
      rows.map(() => ''),
    );
    expect(rows[0]?.payload).toContain('"order_id":"[string]"');
    expect(JSON.stringify(rows)).not.toContain('A-0');
  });

  test.each([
    ['payloads by who is no operator', '/rows?payloads=true', 'vera', 403, 'operator.role'],
    [
      'plain ones by who is none',
      `/${decisions[0]!.id}?plain=true&why=x`,
      'vera',
      403,
      'operator.role',
    ],
    [
      'plain ones without a reason',
      '/rows?payloads=true&plain=true',
      'olga',
      400,
      'request.schema',
    ],
    [
      'a plain one without a reason',
      `/${decisions[0]!.id}?plain=true&why=`,
      'olga',
      400,
      'request.schema',
    ],
  ] as const)('refuses %s', async (...[, path, as, status, code]) => {
    expect(await call(path, { as })).toMatchObject({ status, body: { error: { code } } });
  });
});

describe('one decision', () => {
  test('comes with its payload and with what was recorded about it', async () => {
    const { id, leaf, payload } = decisions[0]!;
    const { status, body } = await call(`/${id}?plain=true&why=case%204`, { as: 'olga' });
    expect({ status, ...body }).toMatchObject({
      status: 200,
      sequence: 1,
      leaf: JSON.parse(leaf),
      payload,
      masked: false,
    });
    const { body: shown } = await call(`/${id}`, { as: 'olga' });
    expect(shown).toMatchObject({ masked: true, leaf: JSON.parse(leaf) });
    expect(JSON.parse(shown.payload).sections.input.call.arguments).toEqual({
      order_id: '[string]',
    });
    expect(await reads()).toEqual(
      expect.arrayContaining([
        ['olga', 'payload', id, 'case 4', true],
        ['olga', 'payload', id, '', false],
      ]),
    );
    expect(
      body.about.map(({ kind, sequence }: { kind: string; sequence: number }) => [sequence, kind]),
    ).toEqual([[7, 'outcome']]);
  });

  test('gives the policies that took part, byte for byte, and no others', async () => {
    const { id } = decisions[0]!;
    const path = (of: string) => `/v1/tenants/acme/audit/${id}/bundles/${of}`;
    const response = await fetch(new URL(path(digest), url), {
      headers: { authorization: `Bearer ${world.token('olga')}` },
    });
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(BUNDLE);
    const other = sha256('another');
    expect(await world.call('GET', path(other), undefined, { as: 'olga', url })).toMatchObject({
      status: 404,
    });
  });

  test.each([
    ['takes an operator', `/${decisions[0]!.id}`, { as: 'vera' as const }, [403, 'operator.role']],
    [
      'that is not there',
      '/0190a0b0-0000-7000-8000-000000000000',
      { as: 'olga' as const },
      [404, 'thing.not_found'],
    ],
    ['with an id that is none', '/latest', { as: 'olga' as const }, [404, 'request.not_found']],
  ])('%s', async (_, path, how, expected) => {
    const { status, body } = await call(path, how);
    expect([status, body.error.code]).toEqual(expected);
  });

  test("another tenant's is not there", async () => {
    const path = `/v1/tenants/other/audit/${decisions[0]!.id}`;
    expect(await world.call('GET', path, undefined, { as: 'olga', url })).toMatchObject({
      status: 404,
    });
    expect(await world.call('GET', path, undefined, { as: 'tom', url })).toMatchObject({
      status: 403,
      body: { error: { code: 'operator.tenant' } },
    });
  });
});

describe('the check by the server', () => {
  test('finds the chain intact, whole and in part', async () => {
    const { head } = (await call('?limit=1')).body;
    expect((await call('/verify')).body).toEqual({ intact: true, from: 1, through: 8, head });
    expect((await call('/verify?last=3')).body).toEqual({
      intact: true,
      from: 6,
      through: 8,
      head,
    });
    const empty = await world.call('GET', '/v1/tenants/nobody/audit/verify', undefined, { url });
    expect(empty.body).toMatchObject({ intact: true, from: 0, through: 0, head: { sequence: 0 } });
  });

  /** Changes rows as somebody with all rights at the database, looks, and changes them back. */
  async function tampered(
    change: string,
    back: string,
  ): Promise<{ verdict: Answer; list: Answer }> {
    const all = 'alter table chain_rows disable trigger all';
    await evidence.query(`${all}; ${change}`);
    const seen = { verdict: await call('/verify'), list: await call('?after=0') };
    await evidence.query(`${back}; alter table chain_rows enable trigger all`);
    return seen;
  }
  const row = "tenant = 'acme' and sequence = 5";

  test('finds an entry that was changed', async () => {
    const swap = (from: string, to: string) =>
      `update chain_rows set entry = replace(entry, '"verdict":"${from}"', '"verdict":"${to}"') where ${row}`;
    const { verdict } = await tampered(swap('block', 'allow'), swap('allow', 'block'));
    expect(verdict.body).toMatchObject({
      intact: false,
      from: 1,
      through: 4,
      finding: { sequence: 5, fault: 'hash_wrong' },
    });
  });

  test('finds an index that hides a row, and the list still shows what the entry says', async () => {
    const set = (verdict: string) => `update chain_rows set verdict = '${verdict}' where ${row}`;
    const { verdict, list } = await tampered(set('allow'), set('block'));
    expect(verdict.body.finding).toEqual({ sequence: 5, fault: 'index_differs' });
    expect(list.body.items[4]).toMatchObject({
      sequence: 5,
      verdict: 'block',
      index_differs: true,
    });
    expect(list.body.items[3]).not.toHaveProperty('index_differs');
  });

  test('finds a tail that was cut', async () => {
    const move = (from: string, to: string) =>
      `update chain_rows set tenant = '${to}' where tenant = '${from}' and sequence > 6`;
    const { verdict } = await tampered(move('acme', 'gone'), move('gone', 'acme'));
    expect(verdict.body.finding).toEqual({ sequence: 7, fault: 'tail_missing' });
  });

  test('shows a row that is no entry any more without failing', async () => {
    const kept = parseHash((await evidence.rows('acme'))[4]!.hash);
    expect(kept).toHaveLength(32);
    await evidence.query('create table kept as select * from chain_rows where sequence = 5');
    const { verdict, list } = await tampered(
      `update chain_rows set entry = 'x', at = 9e15::bigint where ${row}`,
      `update chain_rows set entry = kept.entry, at = kept.at from kept where chain_rows.tenant = 'acme' and chain_rows.sequence = 5`,
    );
    expect(verdict.body.finding).toEqual({ sequence: 5, fault: 'entry_malformed' });
    expect(list.body.items[4]).toMatchObject({
      sequence: 5,
      at: '',
      leaf: {},
      index_differs: true,
    });
    expect((await call('/verify')).body.intact).toBe(true);
  });
});

describe('without the database', () => {
  test('where none is configured, only reads of the audit trail are away', async () => {
    expect(await world.call('GET', '/v1/tenants/acme/audit')).toMatchObject({
      status: 503,
      body: { error: { code: 'audit.unavailable', message: 'No database is configured.' } },
    });
    expect(await world.call('GET', '/v1/tenants/acme/status')).toMatchObject({ status: 200 });
  });

  test('while it is away, reads say so and changes go on; then reads are back', async () => {
    await evidence.postgres.kill();
    for (const path of ['', '/rows', '/verify', `/${decisions[0]!.id}`]) {
      expect(await call(path, { as: 'olga' })).toMatchObject({
        status: 503,
        body: { error: { code: 'audit.unavailable' } },
      });
    }
    const put = await world.call('PUT', '/v1/tenants/acme/agents/late', {}, { as: 'olga', url });
    expect(put).toMatchObject({ status: 200, body: { visible: true } });
    await evidence.postgres.restart();
    expect(sequences(await call('?limit=1'))).toEqual([8]);
  });
});
