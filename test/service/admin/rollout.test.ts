// Rollout modes and exceptions over HTTP: who may change them, what a change waits for, and what the chain says of it.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { CONTROL_KEYS } from '#contracts/control.ts';
import type { DecisionLeaf } from '#contracts/decision.ts';
import { CRITERIA_DEFAULT, type Criteria } from '#contracts/mode.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import {
  type AdminWorld,
  type Answer,
  type RequestOptions,
  startAdminWorld,
} from '#test/support/admin.ts';
import { type Evidence, startEvidence } from '#test/support/evidence.ts';
import { decisionRecord, tenantOf } from '#test/support/records.ts';

const acme = tenantOf('acme');
const NOW = Date.now();
const EASY: Criteria = {
  min_days: 0,
  min_decisions: 4,
  max_would_block_percent: 50,
  max_unreviewed_exceptions: 0,
};

let evidence: Evidence;
let world: AdminWorld;
let folder: string;
let url: string;
const call = (method: string, path: string, body?: unknown, how: RequestOptions = {}) =>
  world.call(method, `/v1/tenants/acme/${path}`, body, { url, ...how });
const code = ({ status, body }: Answer): string => `${status} ${body.error?.code ?? ''}`.trim();

beforeAll(async () => {
  [evidence, world] = await Promise.all([startEvidence(), startAdminWorld()]);
  folder = await mkdtemp(join(tmpdir(), 'countersign-rollout-'));
  const databaseUrl = join(folder, 'database.url');
  await writeFile(databaseUrl, evidence.databaseUrl('countersign_admin'));
  ({ url } = await world.startAdmin({
    COUNTERSIGN_DATABASE_URL_FILE: databaseUrl,
    COUNTERSIGN_AT_REST_KEYS_FILE: evidence.config.COUNTERSIGN_AT_REST_KEYS_FILE,
  }));
});
afterAll(async () => {
  await world.close();
  await evidence.stop();
  await rm(folder, { recursive: true, force: true });
});

describe('the mode of a class', () => {
  it('is changed by an admin only, and to a looser one only by an override', async () => {
    const body = { mode: 'observe', reason: 'new agents' };
    expect(code(await call('PUT', 'modes/shop', body, { as: 'olga' }))).toBe('403 operator.role');
    expect(code(await call('PUT', 'modes/shop', body))).toBe('409 mode.criteria');
    const criteria = { 'soft-block': EASY, enforce: EASY };
    const changed = await call('PUT', 'modes/shop', { ...body, criteria, override: true });
    expect(code(changed)).toBe('200');
    const { value } = (await world.entry(CONTROL_KEYS.mode(acme, 'shop'))) ?? {};
    expect(value).toEqual({
      class: 'shop',
      mode: 'observe',
      canary: null,
      criteria,
      by: 'ada',
      reason: 'new agents',
      override: true,
      since: expect.any(Number),
    });
  });

  it('waits for what the chain says of it, counted in this mode, this class and this tenant', async () => {
    const leaf = (more: Partial<DecisionLeaf>): Partial<DecisionLeaf> => ({
      at: NOW + 60_000,
      agent_class: 'shop',
      mode: 'observe',
      ...more,
    });
    const lifted = { reason: 'policy.blocked', verdict_before_mode: 'block' } as const;
    const records = [
      leaf({}),
      leaf(lifted),
      leaf({ ...lifted, exception: 'one' }),
      leaf({ ...lifted, verdict: 'block', reason: 'policy.floor' }),
      leaf({ ...lifted, agent_class: 'hr' }),
      leaf({ ...lifted, ask: 'evaluate' }),
      leaf({ ...lifted, at: NOW - 3_600_000 }),
    ].map((one) => decisionRecord(acme, { leaf: one }));
    const chainer = await evidence.startChainer();
    await evidence.store('decision-worker', SUBJECTS.decisionBatch(0), records);
    await evidence.store('decision-worker', SUBJECTS.decisionBatch(0), [
      decisionRecord(tenantOf('other'), { leaf: leaf(lifted) }),
    ]);
    await evidence.drained();
    await chainer.stop();
    const { body } = await call('GET', 'modes/shop', undefined, { as: 'vera' });
    expect(body).toMatchObject({
      class: 'shop',
      measured: { decisions: 4, would_block: 1, unreviewed_exceptions: 0 },
      next: [
        {
          mode: 'soft-block',
          unmet: [],
          criteria: [
            { criterion: 'min_days', required: 0, met: true },
            { criterion: 'min_decisions', required: 4, present: 4, met: true },
            { criterion: 'max_would_block_percent', required: 50, present: 25, met: true },
            { criterion: 'max_unreviewed_exceptions', required: 0, present: 0, met: true },
          ],
        },
        { mode: 'enforce', unmet: [] },
      ],
      leave: null,
    });
  });

  it('is not entered while an exception is unreviewed; what was known stands in the event', async () => {
    const exception = { class: 'shop', reason: 'policy.blocked', why: 'ticket', days: 1 };
    expect(code(await call('PUT', 'exceptions/one', exception))).toBe('200');
    const body = { mode: 'soft-block', reason: 'quiet' };
    const early = await call('PUT', 'modes/shop', body);
    expect([code(early), early.body.unmet]).toEqual([
      '409 mode.criteria',
      ['1 exceptions nobody reviewed, at most 0'],
    ]);
    expect(code(await call('POST', 'exceptions/one/review'))).toBe('409 exception.same_person');
    expect(code(await call('POST', 'exceptions/one/review', undefined, { as: 'olga' }))).toBe(
      '200',
    );
    expect(code(await call('PUT', 'modes/shop', body))).toBe('200');
    const { value } = (await world.entry(CONTROL_KEYS.mode(acme, 'shop'))) ?? {};
    expect(value).toMatchObject({ mode: 'soft-block', override: false, reason: 'quiet' });
  });

  it('keeps its start when only the canary share grows, and takes an override when it shrinks', async () => {
    const since = async () => {
      const { value } = (await world.entry(CONTROL_KEYS.mode(acme, 'shop'))) ?? {};
      return (value as { since: number }).since;
    };
    const before = await since();
    const body = { mode: 'soft-block', reason: 'more' };
    const share = (percent: number) => ({ ...body, canary: { percent, by: 'agent' } });
    expect(code(await call('PUT', 'modes/shop', share(5)))).toBe('200');
    expect(code(await call('PUT', 'modes/shop', share(20)))).toBe('200');
    expect(await since()).toBe(before);
    expect(code(await call('PUT', 'modes/shop', share(5)))).toBe('409 mode.criteria');
    expect(code(await call('PUT', 'modes/shop', body))).toBe('409 mode.criteria');
    expect(code(await call('PUT', 'modes/shop', { ...share(5), mode: 'enforce' }))).toBe(
      '422 mode.canary',
    );
  });

  it('is left for a looser one when the record says that it stops too much', async () => {
    const strict = { mode: 'enforce', reason: 'go', override: true };
    const leave = { min_decisions: 2, min_would_block_percent: 60 };
    const criteria = { 'soft-block': EASY, enforce: EASY, leave };
    expect(code(await call('PUT', 'modes/ops', { ...strict, criteria }))).toBe('200');
    const back = { mode: 'observe', reason: 'stops too much' };
    const early = await call('PUT', 'modes/ops', back);
    expect([code(early), early.body.unmet]).toEqual([
      '409 mode.criteria',
      [
        'observe enforces less than enforce, and 0 of 2 decisions',
        'observe enforces less than enforce, and 0.00 % are blocked or held, at least 60 %',
      ],
    ]);
    const leaf = { at: Date.now() + 60_000, agent_class: 'ops', mode: 'enforce' } as const;
    const blocked = {
      reason: 'policy.blocked',
      verdict: 'block',
      verdict_before_mode: 'block',
    } as const;
    const records = [leaf, { ...leaf, ...blocked }, { ...leaf, ...blocked }].map((one) =>
      decisionRecord(acme, { leaf: one }),
    );
    const chainer = await evidence.startChainer();
    await evidence.store('decision-worker', SUBJECTS.decisionBatch(0), records);
    await evidence.drained();
    await chainer.stop();
    const { body } = await call('GET', 'modes/ops');
    expect(body.leave).toMatchObject({
      unmet: [],
      criteria: [{ present: 3 }, { criterion: 'min_would_block_percent', met: true }],
    });
    expect(code(await call('PUT', 'modes/ops', back))).toBe('200');
    const { value } = (await world.entry(CONTROL_KEYS.mode(acme, 'ops'))) ?? {};
    expect(value).toMatchObject({ mode: 'observe', override: false });
  });

  it('cannot be made stricter without a database, but by an override', async () => {
    const without = { url: world.url() };
    const body = { mode: 'enforce', reason: 'now' };
    expect(code(await call('PUT', 'modes/shop', body, without))).toBe('409 mode.criteria');
    expect(code(await call('PUT', 'modes/shop', { ...body, override: true }, without))).toBe('200');
    const { body: status } = await call('GET', 'modes/shop', undefined, without);
    expect(status).toMatchObject({ value: { mode: 'enforce', override: true }, next: [] });
  });

  it('is enforce for a class that nobody set', async () => {
    const { body } = await call('GET', 'modes/unheard%20of');
    expect(body).toMatchObject({
      class: 'unheard of',
      value: { mode: 'enforce', since: 0, criteria: CRITERIA_DEFAULT },
      next: [],
    });
  });
});

describe('an exception', () => {
  const one = { agent: 'shop-agent', reason: 'policy.blocked', why: 'ticket', days: 7 };
  const cases: [name: string, body: object, how: RequestOptions, expected: string][] = [
    ['of an operator', one, { as: 'olga' }, '403 operator.role'],
    ['for everything', { ...one, agent: undefined }, {}, '422 exception.scope'],
    ['of what nothing may lift', { ...one, reason: 'policy.floor' }, {}, '400 request.schema'],
    ['for ever', { ...one, days: 91 }, {}, '400 request.schema'],
  ];
  it.each(cases)('%s is refused', async (_name, body, how, expected) => {
    expect(code(await call('PUT', 'exceptions/two', body, how))).toBe(expected);
  });

  it('is listed from the first moment, reviewed anew when it is put anew, and ends', async () => {
    expect(code(await call('PUT', 'exceptions/two', one))).toBe('200');
    expect(code(await call('POST', 'exceptions/two/review', undefined, { as: 'olga' }))).toBe(
      '200',
    );
    const review = async () => {
      const { body } = await call('GET', 'exceptions', undefined, { as: 'vera' });
      return body.items.find(({ id }: { id: string }) => id === 'two')?.value.review;
    };
    expect(await review()).toEqual({ by: 'olga', at: expect.any(Number) });
    expect(code(await call('PUT', 'exceptions/two', { ...one, tool: 'refund_order' }))).toBe('200');
    expect(await review()).toBe(null);
    expect(
      code(await call('POST', 'exceptions/two/end', { reason: 'fixed' }, { as: 'olga' })),
    ).toBe('200');
    expect(await review()).toBe(undefined);
    expect(code(await call('POST', 'exceptions/two/end', { reason: 'fixed' }))).toBe(
      '404 thing.not_found',
    );
  });
});
