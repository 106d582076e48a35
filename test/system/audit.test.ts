// What an auditor does with a running system: list and show, verify, replay; and what tampering by the database's owner
// looks like from there.

import { spawn } from 'node:child_process';

import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import { CHECKOUT } from '#cli/local/places.ts';
import { payloadPlace, readAtRest } from '#host/at-rest.ts';

import { runAs, runCommand } from '../support/command-line.ts';
import { type Live, startLive } from '../support/live.ts';

let live: Live;
const ids = new Map<string, string>();
const idOf = (name: string): string => ids.get(name) ?? '';

/** Runs the command line against the live system, as its first operator. */
const countersign = async (...args: readonly string[]) => runAs(live)(...args);

/** One call of each way in which a decision can end. */
const CALLS: readonly (readonly [name: string, body: Record<string, unknown>, said: string])[] = [
  [
    'allowed',
    { tool: 'lookup_order', arguments: { order_id: 'ord_1001' } },
    'allow policy.allowed',
  ],
  [
    'refund',
    { tool: 'refund_order', arguments: { order_id: 'ord_1001', amount: 5.5 } },
    'allow policy.allowed',
  ],
  [
    'held',
    { tool: 'refund_order', arguments: { order_id: 'ord_1002', amount: 450 } },
    'escalate policy.needs_approval',
  ],
  [
    'blocked',
    { tool: 'run_sql', arguments: { database: 'production', query: 'drop table orders' } },
    'block policy.blocked',
  ],
  [
    'no fact',
    { tool: 'refund_order', arguments: { order_id: 'ord_none', amount: 1 } },
    'block policy.blocked',
  ],
  ['not covered', { tool: 'rm_rf', arguments: {} }, 'block capability.tool_not_covered'],
  ['no schema', { tool: 'lookup_order', arguments: { order_id: 7 } }, 'block tool.arguments'],
  [
    'beyond purpose',
    {
      tool: 'lookup_order',
      arguments: { order_id: 'ord_1001' },
      intent: { purpose: 'mail', allowed_tools: ['send_email'] },
    },
    'block intent.tool_not_allowed',
  ],
];

beforeAll(async () => {
  live = await startLive();
  for (const [name, body, said] of CALLS) {
    const { body: answer } = await live.call(body);
    expect([name, `${answer.verdict} ${answer.reason?.code}`]).toEqual([name, said]);
    ids.set(name, answer.decision_id ?? '');
  }
  const none = { ceilings: [{ scope: 'tenant', window: 'month', calls: 0 }] };
  const { body: changed } = await live.admin('PUT', 'budgets', none);
  const { body: refused } = await live.call({
    tool: 'lookup_order',
    arguments: { order_id: 'ord_1002' },
    min_revision: changed['revision'],
  });
  expect(refused.reason?.code).toBe('budget.exhausted');
  ids.set('no budget', refused.decision_id ?? '');
  await live.admin('PUT', 'budgets', { ceilings: [] });
  await vi.waitFor(async () => {
    const chained = new Set((await live.rows()).map(({ decision_id: id }) => id));
    expect([...ids.values()].filter((id) => !chained.has(id))).toEqual([]);
  }, 20_000);
});
afterAll(() => live.close());

describe('audit list and show', () => {
  it('print every row a line with what identifies it', async () => {
    const { code, stdout } = await countersign('audit', 'list', '--json', '--all');
    const printed = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const rows = await live.rows();
    expect(code).toBe(0);
    expect(
      printed.slice(0, rows.length).map(({ kind, decision_id, verdict, sequence, hash }) => ({
        kind,
        decision_id,
        verdict,
        sequence,
        hash,
      })),
    ).toEqual(
      rows.map(({ kind, decision_id, verdict, sequence, hash }) => ({
        kind,
        decision_id,
        verdict,
        sequence,
        hash,
      })),
    );
  });

  it('show the newest for people, filtered as asked', async () => {
    const { code, stdout } = await countersign('audit', 'list', '--verdict', 'escalate');
    expect([code, stdout.trimEnd().split('\n').length]).toEqual([0, 2]);
    expect(stdout).toContain(idOf('held'));
    expect(stdout).toContain('refund_order: policy.needs_approval');
  });

  it('show one decision, its values masked unless somebody says why they are read', async () => {
    const { code, stdout } = await countersign('audit', 'show', idOf('held'));
    expect(code).toBe(0);
    expect(stdout).toContain('"amount": "[number]"');
    expect(stdout).toContain('"policy_reason": "refund_over_limit"');
    expect((await countersign('audit', 'show', idOf('held'), '--plain')).code).toBe(2);
    const plain = await countersign('audit', 'show', idOf('held'), '--plain', '--reason', 'case 4');
    expect(plain.stdout).toContain('"amount": 450');
    const newest = async () => {
      const { body } = await live.admin('GET', 'audit?kind=control.read&limit=1');
      return (body['items'] as { leaf: Record<string, unknown> }[])[0]?.leaf;
    };
    await expect.poll(async () => (await newest())?.['reason']).toBe('case 4');
    expect(await newest()).toMatchObject({
      action: 'payload',
      by: 'ada',
      reason: 'case 4',
      target: idOf('held'),
    });
  });
});

describe('audit explain', () => {
  it.each([
    [
      'allowed',
      /^ALLOWED {2}shop-agent -> lookup_order on shop\. Every check passed/,
      /minted by ada/,
    ],
    ['held', /^HELD {2}shop-agent -> refund_order on shop\. It waits/, /held by system:approval/],
    ['blocked', /^BLOCKED .*production_write/, /policy activate sha256:.* by ada/],
    ['no budget', /^BLOCKED .*budget\.exhausted/, /tenant month: 0 calls/],
    [
      'not covered',
      /^BLOCKED .*capability\.tool_not_covered/,
      /what helps {2}Ask for a capability/,
    ],
  ])('of what was %s says why', async (name, headline, said) => {
    const { code, stdout } = await countersign('audit', 'explain', idOf(name));
    expect(code).toBe(0);
    expect(stdout).toMatch(headline);
    expect(stdout).toMatch(said);
  });

  it('of what was never decided finds nothing', async () => {
    const never = '0190a0b0-0000-7000-8000-000000000000';
    expect((await countersign('audit', 'explain', never)).code).toBe(1);
  });
});

describe('audit tail', () => {
  it('follows the chain across a restart of the admin, every row once', async () => {
    const demo = live.system.seeded()!.demo;
    const env = {
      ...process.env,
      COUNTERSIGN_ADMIN_URL: live.system.urls.admin,
      COUNTERSIGN_TENANT: demo.tenant,
      COUNTERSIGN_OPERATOR_TOKEN_FILE: demo.operator_token_files[0],
    };
    const first = (await live.rows()).length - 2;
    const args = ['audit', 'tail', '--json', '--kind', 'decision', '--after', String(first)];
    const child = spawn('./countersign', args, { env, cwd: CHECKOUT });
    let text = '';
    child.stdout.on('data', (bytes: Buffer) => (text += bytes.toString()));
    const seen = () =>
      text
        .split('\n')
        .slice(0, -1)
        .map((line) => (JSON.parse(line) as { sequence: number }).sequence);
    const call = async () => {
      await live.call({ tool: 'lookup_order', arguments: { order_id: 'ord_1001' } });
    };
    const wanted = async () =>
      (await live.rows())
        .filter(({ kind, sequence }) => kind === 'decision' && sequence > first)
        .map(({ sequence }) => sequence);
    try {
      await call();
      await vi.waitFor(async () => expect(seen()).toEqual(await wanted()), 20_000);
      await live.system.halt('admin');
      await call();
      await live.system.restart('admin');
      await call();
      await vi.waitFor(async () => {
        const expected = await wanted();
        expect(expected.length).toBeGreaterThanOrEqual(3);
        expect(seen()).toEqual(expected);
      }, 30_000);
    } finally {
      child.kill('SIGTERM');
    }
  });
});

describe('rebuild', () => {
  const rebuild = async (...args: readonly string[]) =>
    runCommand({ COUNTERSIGN_DIR: live.system.dir }, ['rebuild', ...args]);

  it('finds nothing to do, then what was changed behind its back, and makes it right', async () => {
    expect(await rebuild('--check')).toMatchObject({ code: 0 });
    const client = new pg.Client({ connectionString: live.system.databaseAdminUrl });
    await client.connect();
    await client.query("delete from search_rows where tenant = 'demo' and tool = 'run_sql'");
    await client.query(
      "update search_rows set agent = 'other' where tenant = 'demo' and sequence = 3",
    );
    await client.query("update search_rows set at = 1 where tenant = 'demo' and sequence = 4");
    await client.query(
      "insert into search_rows select tenant, 900000, at, kind, agent, person, tool, upstream, verdict, reason, mode, approval from search_rows where tenant = 'demo' and sequence = 3",
    );
    await client.end();
    const found = async (...args: readonly string[]) => {
      const { code, stdout } = await rebuild(...args, '--json');
      const { projections } = JSON.parse(stdout) as { projections: Record<string, unknown>[] };
      return { code, search: projections[0], control: projections[1] };
    };
    const wrong = { missing: 2, different: 1, extra: 2, unreadable: 0 };
    const same = { missing: 0, different: 0, extra: 0 };
    expect(await found('--check')).toMatchObject({ code: 1, search: wrong, control: same });
    expect(await found()).toMatchObject({ code: 1, search: wrong });
    expect(await found()).toMatchObject({ code: 0, search: same, control: same });
    const { stdout } = await countersign('audit', 'list', '--tool', 'run_sql');
    expect(stdout).toContain(idOf('blocked'));
  });
});

describe('replay', () => {
  it('of a decision is identical, whatever way it ended', async () => {
    const names = [...CALLS.map(([name]) => name), 'no budget'];
    const replays = await Promise.all(
      names.map(async (name) => {
        const { code, stdout } = await countersign('replay', idOf(name), '--json');
        return [name, code, JSON.parse(stdout).identical as boolean];
      }),
    );
    expect(replays).toEqual(names.map((name) => [name, 0, true]));
  });

  it('of a time counts every decision of it', async () => {
    const { code, stdout } = await countersign('replay', '--since', '1h', '--json');
    const decisions = (await live.rows()).filter(({ kind }) => kind === 'decision').length;
    const counted = { same: decisions, different: 0, erased: 0, unreplayable: 0, first: [] };
    expect([code, JSON.parse(stdout)]).toEqual([0, counted]);
  });

  it('of a time in which nothing was decided says so', async () => {
    const nothing = await countersign('replay', '--until', '2020-01-01T00:00:00Z');
    expect(nothing).toMatchObject({ code: 3, stdout: 'no decision fits\n' });
  });

  it('stays identical under another policy and other facts', async () => {
    const files = {
      'policy.rego': 'package countersign.policy\ndecision := {"verdict": "block"}\n',
    };
    const put = await live.admin('POST', 'policies', { files });
    await live.admin('POST', `policies/${String(put.body['digest'])}/activate`);
    await live.admin('DELETE', 'facts/orders/ord_1002');
    expect(await countersign('replay', idOf('held'))).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('identical: escalate  policy.needs_approval'),
    });
  });

  it('of what was never decided could not run', async () => {
    expect((await countersign('replay', '0190a0b0-0000-7000-8000-000000000000')).code).toBe(3);
  });
});

describe('audit verify', () => {
  /** Statements of somebody who owns the database. */
  async function asOwner(...statements: string[]): Promise<void> {
    const client = new pg.Client({ connectionString: live.system.databaseAdminUrl });
    await client.connect();
    try {
      await client.query('set session_replication_role = replica'); // no trigger says no
      for (const statement of statements) await client.query(statement);
    } finally {
      await client.end();
    }
  }
  const atRest = () => readAtRest(live.system.secrets.atRestKeysFile);
  async function bodyAt(sequence: number): Promise<Buffer> {
    const client = new pg.Client({ connectionString: live.system.databaseAdminUrl });
    await client.connect();
    const { rows } = await client.query<{ body: Buffer }>(
      `select body from payloads where tenant = 'demo' and sequence = ${sequence}`,
    );
    await client.end();
    return rows[0]!.body;
  }
  const putBody = (sequence: number, body: Uint8Array) =>
    asOwner(
      `update payloads set body = '\\x${Buffer.from(body).toString('hex')}' where tenant = 'demo' and sequence = ${sequence}`,
    );
  const verified = async () => {
    const { code, stdout } = await countersign('audit', 'verify', '--json');
    return { code, ...(JSON.parse(stdout) as object) };
  };
  const where = (name: string) => `where record_id = '${idOf(name)}' and kind = 'decision'`;
  const sequenceOf = async (name: string) =>
    (await live.rows()).find(
      ({ decision_id: id, kind }) => id === idOf(name) && kind === 'decision',
    )!.sequence;

  it('finds the whole chain intact, payloads included', async () => {
    expect(await verified()).toMatchObject({ code: 0, intact: true, tenant: 'demo' });
    expect(await countersign('audit', 'verify', '--tenant', '_platform')).toMatchObject({
      code: 0,
    });
  });

  it('names the row whose entry was changed; a replay of it differs', async () => {
    const swap = (from: string, to: string) =>
      `update chain_rows set entry = replace(entry, '"verdict":"${from}","verdict_before_mode":"${from}"', '"verdict":"${to}","verdict_before_mode":"${to}"') ${where('blocked')}`;
    await asOwner(swap('block', 'allow'));
    const sequence = await sequenceOf('blocked');
    const found = await verified();
    const replayed = await countersign('replay', idOf('blocked'));
    const range = await countersign('replay', '--tool', 'run_sql', '--json');
    await asOwner(swap('allow', 'block'));
    expect([range.code, JSON.parse(range.stdout)]).toMatchObject([
      1,
      { same: 0, different: 1, first: [{ came: 'different', decision_id: idOf('blocked') }] },
    ]);
    expect(found).toMatchObject({
      code: 1,
      intact: false,
      finding: { sequence, fault: 'hash_wrong' },
    });
    expect(replayed).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('differs in verdict'),
    });
    expect(await verified()).toMatchObject({ code: 0 });
  });

  it('names the row whose payload was changed; it is not replayed', async () => {
    const sequence = await sequenceOf('held');
    const place = payloadPlace('demo', sequence);
    const [as, { seal, open }] = [await bodyAt(sequence), atRest()];
    // By somebody who has the key.
    const text = open(as, place).replace('"amount":450', '"amount":45');
    await putBody(sequence, seal(text, place));
    const found = await verified();
    const here = await countersign('audit', 'verify', '--payloads');
    const replayed = await countersign('replay', idOf('held'));
    // And by somebody who has not.
    await putBody(sequence, as.with(40, (as[40] ?? 0) ^ 1));
    expect(await verified()).toMatchObject({
      code: 1,
      finding: { sequence, fault: 'payload_wrong' },
    });
    await putBody(sequence, as);
    expect(here).toMatchObject({ code: 1, stdout: expect.stringContaining('payload_wrong') });
    expect(found).toMatchObject({ code: 1, finding: { sequence, fault: 'payload_wrong' } });
    expect(replayed).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('not the recorded one'),
    });
  });

  it('misses the tail when a head was written down before it was cut', async () => {
    const { head } = (await verified()) as unknown as { head: { sequence: number; hash: string } };
    const last = `tenant = 'demo' and sequence = ${head.sequence}`;
    const [before] = (await live.rows()).slice(-2);
    await asOwner(
      'create table kept_row as select * from chain_rows where ' + last,
      'create table kept_payload as select * from payloads where ' + last,
      `delete from chain_rows where ${last}`,
      `delete from payloads where ${last}`,
      `update heads set sequence = ${head.sequence - 1}, hash = decode('${before!.hash.slice(7)}', 'hex') where tenant = 'demo'`,
    );
    const unseen = await verified();
    const found = await countersign('audit', 'verify', '--head', `${head.sequence}:${head.hash}`);
    await asOwner(
      'insert into chain_rows select * from kept_row',
      'insert into payloads select * from kept_payload',
      `update heads set sequence = ${head.sequence}, hash = decode('${head.hash.slice(7)}', 'hex') where tenant = 'demo'`,
    );
    expect(unseen).toMatchObject({ code: 0 });
    expect(found).toMatchObject({ code: 1, stdout: expect.stringContaining('tail_missing') });
    expect(await verified()).toMatchObject({ code: 0 });
  });

  it('could not run while the database is away', async () => {
    await live.system.halt('postgres');
    const { code, stderr } = await countersign('audit', 'verify');
    await live.system.restart('postgres');
    expect([code, stderr]).toEqual([3, expect.stringContaining('audit.unavailable')]);
  });
});
