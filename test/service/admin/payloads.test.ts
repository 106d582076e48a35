// Orders about payloads over HTTP: who may give them, what they must say, what is counted, and what an erasure leaves to see.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { SUBJECTS } from '#contracts/subjects.ts';
import { type AdminWorld, type Answer, type Person, startAdminWorld } from '#test/support/admin.ts';
import { type Evidence, startEvidence } from '#test/support/evidence.ts';
import { controlRecord, decisionRecord, tenantOf } from '#test/support/records.ts';

const acme = tenantOf('acme');
const mine = decisionRecord(acme, { leaf: { agent: 'a' } });
const others = decisionRecord(acme, { leaf: { agent: 'b' } });
const order = { action: 'erase' as const, selection: { agent: 'a' } };
const erasure = controlRecord(acme, { kind: 'control.payloads', action: 'erase' }, order);
const { id: orderId } = JSON.parse(erasure.leaf) as { id: string };

let evidence: Evidence;
let world: AdminWorld;
let folder: string;
let url: string;
let call: (method: string, path: string, body?: unknown, as?: Person) => Promise<Answer>;

beforeAll(async () => {
  [evidence, world] = await Promise.all([startEvidence(), startAdminWorld()]);
  folder = await mkdtemp(join(tmpdir(), 'countersign-payloads-'));
  await evidence.store('decision-worker', SUBJECTS.decisionBatch(0), [mine, others]);
  const databaseUrl = join(folder, 'database.url');
  await writeFile(databaseUrl, evidence.databaseUrl('countersign_admin'));
  ({ url } = await world.startAdmin({
    COUNTERSIGN_DATABASE_URL_FILE: databaseUrl,
    COUNTERSIGN_AT_REST_KEYS_FILE: evidence.config.COUNTERSIGN_AT_REST_KEYS_FILE,
  }));
  call = (method, path, body, as = 'ada') =>
    world.call(method, `/v1/tenants/acme/${path}`, body, { as, url });
});
afterAll(async () => {
  await world.close();
  await evidence.stop();
  await rm(folder, { recursive: true, force: true });
});

test('what fits is counted before, and afterwards shown as erased by the order', async () => {
  const chainer = await evidence.startChainer();
  await evidence.drained();
  const count = await call('GET', 'payload-count?agent=a');
  expect(count.body).toEqual({ payloads: 1, held: 0 });
  await evidence.store('admin', SUBJECTS.control(acme, 'payloads'), [erasure]);
  await expect
    .poll(async () => (await call('GET', 'payload-orders')).body, { timeout: 30_000 })
    .toMatchObject({
      items: [{ id: orderId, action: 'erase', by: 'ada', ended: true, erased: 1 }],
    });
  await chainer.stop();
  const { body } = await call('GET', `audit/${mine.id}`);
  expect(body).toMatchObject({ payload: null, erased: { by_order: orderId } });
  const { body: untouched } = await call('GET', `audit/${others.id}?plain=true&why=test`);
  expect([untouched.payload, untouched.erased]).toEqual([others.payload, undefined]);
  const response = await fetch(new URL('/v1/tenants/acme/audit/rows?check=true', url), {
    headers: { authorization: `Bearer ${world.token('vera')}` },
  });
  const lines = (await response.text())
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(
    lines.slice(0, 2).map(({ payload, payload_fault: fault, erased }) => [payload, fault, erased]),
  ).toEqual([
    [undefined, '', true],
    [undefined, '', undefined],
  ]);
});

test.each<[string, unknown, Person, number]>([
  ['an order', { ...order, reason: 'r' }, 'ada', 201],
  ['without a reason', order, 'ada', 400],
  ['of everything', { action: 'erase', selection: {}, reason: 'r' }, 'ada', 400],
  ['for no day', { action: 'retain', days: 0, reason: 'r' }, 'ada', 400],
  ['by who only reads', { ...order, reason: 'r' }, 'vera', 403],
])('%s', async (_, body, as, status) => {
  expect((await call('POST', 'payload-orders', body, as)).status).toBe(status);
});
