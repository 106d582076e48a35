// kill -9 under load. Every answered allow is in the stream and then once in the chain; what cannot be judged or
// recorded is refused; nothing is lost and nothing is twice.

import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { type Live, startLive } from '../support/live.ts';
import { startLoad } from '../support/load.ts';

let live: Live;
beforeAll(async () => {
  live = await startLive();
});
afterAll(() => live.close());

/** Waits until the chain holds all of these, then says what is missing, double or broken. */
async function chainOf(allowed: readonly string[]) {
  const wanted = new Set(allowed);
  await expect
    .poll(
      async () => {
        const there = new Set((await live.rows()).map(({ decision_id: id }) => id));
        return [...wanted].filter((id) => !there.has(id)).length;
      },
      { timeout: 60_000, interval: 500 },
    )
    .toBe(0);
  const rows = await live.rows();
  const decisions = rows.filter(({ kind }) => kind === 'decision');
  const ids = decisions.map(({ decision_id: id }) => id);
  return {
    missing: allowed.filter((id) => !ids.includes(id)).length,
    doubled: ids.length - new Set(ids).size,
    gaps: rows.filter(({ sequence }, index) => sequence !== index + 1).length,
    finding: await live.verify(),
  };
}
const INTACT = { missing: 0, doubled: 0, gaps: 0, finding: undefined };

const call = () => live.call({ tool: 'lookup_order', arguments: { order_id: 'ord_1001' } });
const said = async () => {
  const { body } = await call();
  return `${body.verdict} ${body.reason?.code}`;
};

describe('kill -9 under load', () => {
  it.each(['decision-worker', 'ingress', 'audit-chainer', 'nats', 'postgres', 'admin'])(
    'of %s loses no answered allow and doubles none',
    async (name) => {
      const load = startLoad(live, 16);
      for (let kills = 0; kills < 2; kills += 1) {
        await sleep(400);
        await live.system.kill(name);
        await live.system.ready(name);
        await sleep(400);
      }
      const { allowed } = await load.stop();
      expect(allowed.length).toBeGreaterThan(100);
      expect(await chainOf(allowed)).toEqual(INTACT);
      expect(await said()).toBe('allow policy.allowed');
    },
  );
});

describe('without', () => {
  it('a worker every call is refused at once, and judged again when one is back', async () => {
    await live.system.halt('decision-worker');
    expect(await call()).toMatchObject({
      status: 503,
      body: { verdict: 'block', reason: { code: 'service.no_worker' } },
    });
    await live.system.restart('decision-worker');
    expect(await said()).toBe('allow policy.allowed');
  });

  it('the broker every call is refused, and the next one after its return is judged', async () => {
    await live.system.halt('nats');
    await expect.poll(async () => (await call()).body.reason?.code).toBe('service.bus_away');
    await live.system.restart('nats');
    await expect.poll(said, { timeout: 10_000 }).toBe('allow policy.allowed');
  });

  it('Postgres decisions go on, changes are made, and the chain catches up', async () => {
    await live.system.halt('postgres');
    const load = startLoad(live, 8);
    await sleep(1_500);
    const change = await live.admin('PUT', 'facts/orders/ord_1', {
      id: 'ord_1',
      customer: 'x@example.com',
      total: 1,
    });
    await sleep(500);
    const { allowed, others } = await load.stop();
    expect(change.status).toBe(200);
    expect(allowed.length).toBeGreaterThan(100);
    expect([...others.keys()]).toEqual([]);
    await live.system.restart('postgres');
    expect(await chainOf(allowed)).toEqual(INTACT);
  });

  it('space in the stream every call is refused, and no allow is given without its record', async () => {
    const { connectBus } = await import('#host/nats.ts');
    const operator = await connectBus({
      url: live.system.urls.nats,
      user: 'operator',
      passwordFile: live.system.secrets.natsPasswordFile('operator'),
      monitorUrl: live.system.urls.natsMonitor,
    });
    const { config, state } = await operator.jsm.streams.info('DECISIONS');
    await operator.jsm.streams.update('DECISIONS', { ...config, max_bytes: state.bytes + 1 });
    const refused = await call();
    await operator.jsm.streams.update('DECISIONS', config);
    await operator.close();
    expect(refused).toMatchObject({
      status: 503,
      body: { verdict: 'block', reason: { code: 'evidence.unavailable' } },
    });
    expect(await said()).toBe('allow policy.allowed');
  });
});
