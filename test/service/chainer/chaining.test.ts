// What the chainer makes of stored messages: one gapless, intact chain for each tenant, whatever is delivered how often.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { payloadFault } from '#contracts/payload.ts';
import { readRecordSubject, SUBJECTS } from '#contracts/subjects.ts';
import { type Evidence, startEvidence } from '#test/support/evidence.ts';
import { controlRecord, decisionRecord, outcomeRecord, tenantOf } from '#test/support/records.ts';

let evidence: Evidence;
beforeAll(async () => {
  evidence = await startEvidence();
});
afterAll(() => evidence.stop());

/** Runs chainers until everything stored is chained. */
async function chainAll(count = 1): Promise<void> {
  const chainers = await Promise.all(Array.from({ length: count }, () => evidence.startChainer()));
  await evidence.drained();
  await Promise.all(chainers.map((chainer) => chainer.stop()));
}

const shard = SUBJECTS.decisionBatch(0);

test('records of all streams become one intact chain for each tenant', async () => {
  const [acme, other] = [tenantOf('acme'), tenantOf('other')];
  const decisions = [decisionRecord(acme), decisionRecord(other), decisionRecord(acme)];
  const held = decisionRecord(acme, {
    leaf: { verdict: 'escalate', reason: 'policy.needs_approval' },
  });
  const change = controlRecord(acme);
  await evidence.store('decision-worker', shard, decisions);
  await evidence.store('decision-worker', SUBJECTS.decisionHold(acme), [held]);
  await chainAll();
  await evidence.store('admin', SUBJECTS.control(acme, 'agent'), [change]);
  await evidence.store('ingress', SUBJECTS.outcome(acme, 0), [
    outcomeRecord(acme, decisions[0]!.id),
  ]);
  await chainAll();

  const rows = await evidence.rows(acme);
  const about = rows.map(({ sequence, kind, record_id, verdict }) => [
    sequence,
    kind,
    record_id,
    verdict,
  ]);
  expect(about.slice(0, 3)).toEqual([
    [1, 'decision', decisions[0]!.id, 'allow'],
    [2, 'decision', decisions[2]!.id, 'allow'],
    [3, 'decision', held.id, 'escalate'],
  ]);
  // Two streams are read side by side: these two may come in either order.
  expect(new Set(about.slice(3).map(([, kind]) => kind))).toEqual(
    new Set(['control.agent', 'outcome']),
  );
  expect(await evidence.verify(acme)).toBeUndefined();
  expect(await evidence.verify(other)).toBeUndefined();
  expect((await evidence.rows(other)).map(({ record_id }) => record_id)).toEqual([
    decisions[1]!.id,
  ]);
  const leaf = (entry: string) => (JSON.parse(entry) as { body: never }).body;
  expect(rows.map(({ entry, payload }) => payloadFault(leaf(entry), payload))).toEqual(
    rows.map(() => ''),
  );
});

test('an outcome that comes before its decision is chained at once', async () => {
  const tenant = tenantOf('outcome-first');
  const decision = decisionRecord(tenant);
  await evidence.store('ingress', SUBJECTS.outcome(tenant, 0), [
    outcomeRecord(tenant, decision.id),
  ]);
  await chainAll();
  await evidence.store('decision-worker', shard, [decision]);
  await chainAll();
  expect((await evidence.rows(tenant)).map(({ kind, decision_id }) => [kind, decision_id])).toEqual(
    [
      ['outcome', decision.id],
      ['decision', decision.id],
    ],
  );
  expect(await evidence.verify(tenant)).toBeUndefined();
});

test('a message stored twice is chained once, also behind the window of the broker', async () => {
  const tenant = tenantOf('twice');
  const records = [decisionRecord(tenant), decisionRecord(tenant)];
  await evidence.store('decision-worker', shard, [...records, records[0]!]);
  await evidence.store('decision-worker', shard, records);
  await chainAll();
  await evidence.store('decision-worker', shard, records);
  await chainAll();
  expect((await evidence.rows(tenant)).map(({ record_id }) => record_id)).toEqual(
    records.map(({ id }) => id),
  );
});

test('two chainers side by side, a fifth of all messages delivered again: no gap, no double', async () => {
  const tenants = ['a1', 'b2', 'c3', '0d'].map((name) => tenantOf(`two-${name}`));
  const stored: string[] = [];
  for (let message = 0; message < 150; message += 1) {
    const records = Array.from({ length: 1 + (message % 20) }, (_, index) =>
      decisionRecord(tenants[(message + index) % tenants.length]!),
    );
    stored.push(...records.map(({ id }) => id));
    await evidence.store('decision-worker', shard, records);
    // Stored again: the same records at another position.
    if (message % 5 === 0) await evidence.store('decision-worker', shard, records);
  }
  let commits = 0;
  // Not acknowledged although committed: the broker delivers the whole batch again.
  const chainers = await Promise.all(
    [1, 2].map(() =>
      evidence.startChainer({
        afterCommit: async () => {
          commits += 1;
          if (commits % 5 === 1) throw new Error('not acknowledged');
        },
      }),
    ),
  );
  await evidence.drained();
  await Promise.all(chainers.map((chainer) => chainer.stop()));
  const chained = (await Promise.all(tenants.map(evidence.rows))).flat();
  expect(chained.map(({ record_id }) => record_id).sort()).toEqual(stored.sort());
  expect(await Promise.all(tenants.map(evidence.verify))).toEqual(tenants.map(() => undefined));
  expect(commits).toBeGreaterThan(1);
});

describe('what is no record of its writer becomes an alert of the platform, once', () => {
  const tenant = tenantOf('victim');
  const real = decisionRecord(tenant);
  const line = (change: object) => {
    const { leaf, payload } = decisionRecord(tenant, { leaf: change });
    return `${leaf}\n${payload}\n`;
  };

  type Case = [name: string, message: Parameters<Evidence['store']>, fault: string];
  const cases: Case[] = [
    ['without a MAC', ['decision-worker', shard, [real], { mac: '' }], 'MAC missing'],
    [
      'with the MAC of something else',
      ['decision-worker', shard, [real], { mac: `decision-worker:00000000:${'0'.repeat(64)}` }],
      'MAC unknown_key',
    ],
    ['smuggled by the ingress, under its own key', ['ingress', shard, [real]], 'MAC wrong_writer'],
    [
      'of a policy, by another writer than admin',
      ['decision-worker', SUBJECTS.control(tenant, 'policy'), [controlRecord(tenant)]],
      'MAC wrong_writer',
    ],
    [
      'of half a pair of lines',
      ['decision-worker', shard, '{}\n'],
      'not lines of leaf and payload',
    ],
    [
      'with a leaf that is not JSON',
      ['decision-worker', shard, '{\n{}\n'],
      'the leaf is not canonical JSON',
    ],
    [
      'with a leaf that is not canonical',
      ['decision-worker', shard, ` ${line({})}`],
      'the leaf is not canonical JSON',
    ],
    [
      'with an integer that readers read differently',
      ['decision-worker', shard, line({}).replace('"cost":0', '"cost":9007199254740993')],
      'the leaf is not canonical JSON',
    ],
    [
      'without a verdict',
      ['decision-worker', shard, line({ verdict: 'maybe' as never })],
      'the leaf is no decision',
    ],
    [
      'with an id that is none',
      ['decision-worker', shard, line({ id: 'x' as never })],
      'the leaf is no decision',
    ],
    [
      'of the platform',
      ['decision-worker', shard, line({ tenant: '_platform' as never })],
      'the leaf is no decision',
    ],
    [
      'of another tenant than its subject',
      ['decision-worker', SUBJECTS.decisionHold(tenantOf('wrong')), [real]],
      'the leaf names another tenant',
    ],
    [
      'of another kind than its subject',
      ['admin', SUBJECTS.control(tenant, 'policy'), [controlRecord(tenant)]],
      'the leaf says control.agent',
    ],
    [
      'with a payload that no text can hold',
      ['decision-worker', shard, `${real.leaf}\n{"\0"}\n`],
      'the payload is not JSON',
    ],
  ];
  const sequences: number[] = [];

  beforeAll(async () => {
    for (const [, message] of cases) sequences.push(await evidence.store(...message));
    // Committed, not acknowledged, delivered again.
    let failures = 2;
    const chainer = await evidence.startChainer({
      afterCommit: async () => {
        if (failures-- > 0) throw new Error('not acknowledged');
      },
    });
    await evidence.drained();
    await chainer.stop();
  });

  test.each(cases.map(([name, message, fault], index) => ({ name, message, fault, index })))(
    '$name',
    async ({ message: [, subject], fault, index }) => {
      const control = readRecordSubject(subject)?.kind.startsWith('control.') === true;
      const stream = control ? 'CONTROL' : 'DECISIONS';
      const sequence = sequences[index]!;
      const target = `${stream}/${await evidence.bus.epoch(stream)}/${sequence}/0`;
      const alerts = (await evidence.rows('_platform')).filter(
        ({ record_id }) => record_id === `refused/${target}`,
      );
      expect(alerts.map(({ kind, source_stream }) => [kind, source_stream])).toEqual([
        ['control.alert', 'chainer'],
      ]);
      const { body } = JSON.parse(alerts[0]!.entry) as {
        body: { reason: string; target: string; kind: string; commitments: Record<string, string> };
      };
      expect(body).toMatchObject({ target, reason: expect.stringContaining(fault) as string });
      expect(payloadFault(body, alerts[0]!.payload)).toBe('');
      // What was refused is kept, byte for byte.
      const kept = JSON.parse(alerts[0]!.payload) as { sections: { content: string } };
      const stored = await evidence.bus.jsm.streams.getMessage(stream, { seq: sequence });
      expect(Buffer.from(kept.sections.content, 'base64').toString()).toBe(stored!.string());
    },
  );

  test('and no row of anybody else', async () => {
    expect(await evidence.rows(tenant)).toEqual([]);
    expect(await evidence.rows('wrong')).toEqual([]);
    expect(await evidence.verify('_platform')).toBeUndefined();
  });

  test('the other records of the message are chained', async () => {
    const tenant = tenantOf('neighbour');
    const [first, bad, last] = [
      decisionRecord(tenant),
      decisionRecord(tenant, { leaf: { verdict: 'maybe' as never } }),
      decisionRecord(tenant),
    ];
    await evidence.store('decision-worker', shard, [first, bad, last]);
    await chainAll();
    expect((await evidence.rows(tenant)).map(({ record_id }) => record_id)).toEqual([
      first.id,
      last.id,
    ]);
    const alerts = (await evidence.rows('_platform')).filter(({ record_id }) =>
      record_id.endsWith('/1'),
    );
    expect(alerts).toHaveLength(1);
  });

  test('another record under an id that is taken, in one message and later', async () => {
    const tenant = tenantOf('taken');
    const first = decisionRecord(tenant);
    const others = [1, 2].map((cost) =>
      decisionRecord(tenant, { leaf: { id: first.id as never, cost } }),
    );
    const one = await evidence.store('decision-worker', shard, [first, others[0]!]);
    await chainAll();
    const two = await evidence.store('decision-worker', shard, [others[1]!]);
    await chainAll();
    await evidence.store('decision-worker', shard, [first]);
    await chainAll();
    expect((await evidence.rows(tenant)).map(({ record_id }) => record_id)).toEqual([first.id]);
    const alerts = (await evidence.rows('_platform')).filter(({ entry }) =>
      entry.includes('another record has its id'),
    );
    const epoch = await evidence.bus.epoch('DECISIONS');
    expect(alerts.map(({ record_id }) => record_id)).toEqual([
      `refused/DECISIONS/${epoch}/${one}/1`,
      `refused/DECISIONS/${epoch}/${two}/0`,
    ]);
  });

  test('an outcome reported again is no alert; another outcome is, and the first stands', async () => {
    const tenant = tenantOf('outcomes');
    const decision = decisionRecord(tenant);
    const subject = SUBJECTS.outcome(tenant, 0);
    const before = (await evidence.rows('_platform')).length;
    for (const at of [1, 2]) {
      await evidence.store('ingress', subject, [outcomeRecord(tenant, decision.id, { at })]);
      await chainAll();
    }
    expect(await evidence.rows('_platform')).toHaveLength(before);
    await evidence.store('ingress', subject, [
      outcomeRecord(tenant, decision.id, { status: 'failed' }),
    ]);
    await chainAll();
    expect(await evidence.rows('_platform')).toHaveLength(before + 1);
    const rows = await evidence.rows(tenant);
    expect(rows.map(({ entry }) => /"status":"(\w+)"/.exec(entry)?.[1])).toEqual(['executed']);
  });

  test('text that the database could not index or hold is chained all the same', async () => {
    const tenant = tenantOf('long-text');
    const agent = `\0${'é'.repeat(5_000)}`;
    const record = decisionRecord(tenant, { leaf: { agent } });
    await evidence.store('decision-worker', shard, [record]);
    await chainAll();
    const [row] = await evidence.rows(tenant);
    expect((JSON.parse(row!.entry) as { body: { agent: string } }).body.agent).toBe(agent);
    expect(await evidence.verify(tenant)).toBeUndefined();
  });
});
