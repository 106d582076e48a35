// From an event to the state that workers watch: who may change it, what comes twice, who crashes on the way.

import { once } from 'node:events';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { CONTROL_KEYS } from '#contracts/control.ts';
import { parseRevision, type TenantId } from '#contracts/ids.ts';
import { canonical } from '#contracts/json.ts';
import { type RecordLines, sealPayload } from '#contracts/record.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import { watchControl } from '#host/control-view.ts';
import { createLog } from '#host/log.ts';

import { type AdminWorld, startAdminWorld } from '../../support/admin.ts';

const ACME = 'acme' as TenantId;
const FACTS = '/v1/tenants/acme/facts';

/** A record as admin makes it; each test says what is different about it. */
function record(changed: Record<string, unknown>, value: unknown = { class: 'x' }): RecordLines {
  const { payload, commitments } = sealPayload({ value: canonical(value as never) }, {}, () =>
    '0'.repeat(32),
  );
  const leaf = {
    action: 'put',
    at: 1,
    by: 'ada',
    commitments,
    id: 'x',
    kind: 'control.agent',
    reason: '',
    target: 'bot',
    tenant: 'acme',
    v: 1,
    ...changed,
  };
  return { leaf: canonical(leaf), payload };
}

describe('an event', () => {
  let world: AdminWorld;
  beforeAll(async () => {
    world = await startAdminWorld();
  });
  afterAll(() => world.close());

  const agent = (id: string) => CONTROL_KEYS.agent(ACME, id);
  const head = async () => (await world.entry(CONTROL_KEYS.head))?.sequence ?? 0;
  const projected = (sequence: number) => expect.poll(head).toBeGreaterThanOrEqual(sequence);

  it('is seen by a watching worker at the revision that its author was told', async () => {
    const log = createLog('test', 'silent');
    const view = await watchControl(world.operator, { log });
    const { body } = await world.call('PUT', `${FACTS}/a`, { n: 1 });
    expect(await view.waitFor(body.revision, 1_000)).toBe(true);
    expect(view.get(CONTROL_KEYS.fact(ACME, 'a'))).toMatchObject({
      sequence: parseRevision(body.revision)?.sequence,
      value: { n: 1 },
    });
    await view.close();
  });

  const subject = SUBJECTS.control(ACME, 'agent');
  const REFUSED: readonly (readonly [name: string, stored: () => Promise<number>])[] = [
    ['without a MAC', () => world.store('admin', subject, [record({ target: 'r' })], '')],
    [
      'with the MAC of another subject',
      async () => {
        const other = SUBJECTS.control('other' as TenantId, 'agent');
        const body = [record({ target: 'r' })];
        const sequence = await world.store('admin', other, body);
        const stored = await world.operator.jsm.streams.getMessage('CONTROL', { seq: sequence });
        const mac = stored?.header.get('Countersign-Mac') ?? '';
        return world.store('admin', subject, body, mac);
      },
    ],
    ['of a worker', () => world.store('decision-worker', subject, [record({ target: 'r' })])],
    ['of the chainer', () => world.store('audit-chainer', subject, [record({ target: 'r' })])],
    [
      'of another tenant than its subject',
      () => world.store('admin', subject, [record({ target: 'r', tenant: 'other' })]),
    ],
    [
      'of another kind than its subject',
      () => world.store('admin', SUBJECTS.control(ACME, 'facts'), [record({ target: 'r' })]),
    ],
    [
      'with a value of another shape',
      () => world.store('admin', subject, [record({ target: 'r' }, { n: 1 })]),
    ],
    ['that is no record', () => world.store('admin', subject, 'nonsense')],
    [
      'of two records',
      () => world.store('admin', subject, [record({ target: 'r' }), record({ target: 'r' })]),
    ],
  ];
  it.each(REFUSED)('%s changes nothing and holds nobody up', async (_, stored) => {
    await projected(await stored());
    expect([
      await world.entry(agent('r')),
      await world.entry(CONTROL_KEYS.agent('other', 'r')),
    ]).toEqual([undefined, undefined]);
    expect(await world.call('PUT', `${FACTS}/next`, 1)).toMatchObject({ body: { visible: true } });
  });

  it('of a kind that changes no state is passed over', async () => {
    const alert = record({ kind: 'control.alert', tenant: '_platform', action: 'raise' });
    const platform = SUBJECTS.control('_platform' as TenantId, 'alert');
    await projected(await world.store('audit-chainer', platform, [alert]));
  });

  it('that carries an older sequence than the state leaves it alone', async () => {
    const control = await world.operator.bucket('control');
    const newer = { sequence: 1_000_000, at: 9, value: { class: 'newer' } };
    await control.put(agent('old'), JSON.stringify(newer));
    await projected(await world.store('admin', subject, [record({ target: 'old' })]));
    expect(await world.entry(agent('old'))).toEqual(newer);
  });
});

describe('admin', () => {
  it('two of them at once project every event once, and both see it', async () => {
    const world = await startAdminWorld({ admins: 2 });
    try {
      const second = await world.startAdmin();
      const patches = Array.from({ length: 40 }, (_, n) =>
        world.call(
          'PATCH',
          `${FACTS}/counted`,
          { [`p${n}`]: n },
          n % 2 === 0 ? {} : { url: second.url },
        ),
      );
      const answers = await Promise.all(patches);
      expect(answers.map(({ status, body }) => [status, body.visible])).toEqual(
        answers.map(() => [200, true]),
      );
      const expected = Object.fromEntries(answers.map((_, n) => [`p${n}`, n]));
      for (const url of [world.url(), second.url]) {
        const { body } = await world.call('GET', `${FACTS}/counted`, undefined, { url });
        expect(body.value).toEqual(expected);
      }
    } finally {
      await world.close();
    }
  });

  it('killed at any moment under load loses no acknowledged change and applies none twice', async () => {
    const world = await startAdminWorld({ admins: 0 });
    try {
      const acknowledged: number[] = [];
      let sent = 0;
      for (let round = 0; round < 3; round += 1) {
        const { url, child } = await world.spawnAdmin();
        const exited = once(child, 'exit');
        const load = Promise.all(
          Array.from({ length: 4 }, async () => {
            for (;;) {
              const n = sent++;
              const answer = await world
                .call('PATCH', `${FACTS}/load`, { [`p${n}`]: n }, { url })
                .catch(() => undefined);
              if (answer?.status !== 200) return;
              acknowledged.push(n);
            }
          }),
        );
        await expect.poll(() => acknowledged.length).toBeGreaterThan(round * 20 + 20);
        child.kill('SIGKILL');
        await exited;
        await load;
      }
      const last = (await world.operator.jsm.streams.info('CONTROL')).state.last_seq;
      const { url } = await world.startAdmin();
      await expect
        .poll(async () => (await world.entry(CONTROL_KEYS.head))?.sequence)
        .toBeGreaterThanOrEqual(last);
      const { body } = await world.call('GET', `${FACTS}/load`, undefined, { url });
      expect(Object.values(body.value as object)).toEqual(expect.arrayContaining(acknowledged));
    } finally {
      await world.close();
    }
  }, 120_000);

  it('stopped in order while operators are registered from the file, registers none twice', async () => {
    const world = await startAdminWorld();
    try {
      const events = async () => (await world.operator.jsm.streams.info('CONTROL')).state.messages;
      expect(await events()).toBe(4);
      const { url, stop } = await world.startAdmin();
      expect(await events()).toBe(4);
      await world.call('DELETE', '/v1/operators/vera', undefined, { url });
      await stop();
      const again = await world.startAdmin();
      const vera = await world.call('GET', '/v1/operator', undefined, {
        as: 'vera',
        url: again.url,
      });
      expect([await events(), vera.status]).toEqual([5, 401]);
    } finally {
      await world.close();
    }
  });

  it('without the broker refuses changes, still shows what it knows, and works again after', async () => {
    const world = await startAdminWorld();
    try {
      await world.call('PUT', `${FACTS}/a`, 1);
      await world.nats.kill();
      const change = await world.call('PUT', `${FACTS}/a`, 2);
      const shown = await world.call('GET', `${FACTS}/a`);
      expect([change.status, change.body.error.code, shown.body.value]).toEqual([
        503,
        'change.not_recorded',
        1,
      ]);
      await world.nats.restart();
      await expect
        .poll(async () => (await world.call('PUT', `${FACTS}/a`, 3)).status, { timeout: 20_000 })
        .toBe(200);
      await expect.poll(async () => (await world.call('GET', `${FACTS}/a`)).body.value).toBe(3);
    } finally {
      await world.close();
    }
  });

  it('does not project into a bucket that another stream filled', async () => {
    const world = await startAdminWorld({ admins: 0 });
    try {
      const control = await world.operator.bucket('control');
      await control.put(
        CONTROL_KEYS.head,
        JSON.stringify({ sequence: 0, at: 0, value: { epoch: 'zzz' } }),
      );
      const subject = SUBJECTS.control(ACME, 'agent');
      await world.store('admin', subject, [record({ target: 'bot' })]);
      const { url } = await world.startAdmin({ COUNTERSIGN_BOOTSTRAP_OPERATORS_FILE: '' });
      expect((await fetch(`${url}/openapi.json`)).status).toBe(200);
      expect(await world.entry(CONTROL_KEYS.agent(ACME, 'bot'))).toBe(undefined);
    } finally {
      await world.close();
    }
  });
});
