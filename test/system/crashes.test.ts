// kill -9 under load. Every answered allow is in the stream and then once in the chain; what cannot be judged or
// recorded is refused; nothing is lost and nothing is twice.

import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { compareWithChain, INTACT, missedMessages } from '../support/chain-compare.ts';
import { crashRun, randomOf } from '../support/crash-run.ts';
import { type Live, startLive } from '../support/live.ts';
import { startLoad } from '../support/load.ts';

let live: Live;
beforeAll(async () => {
  live = await startLive();
});
afterAll(() => live.close());

const chainOf = (allowed: readonly string[]) => compareWithChain(live, allowed);

const call = () => live.call({ tool: 'lookup_order', arguments: { order_id: 'ord_1001' } });
const said = async () => {
  const { body } = await call();
  return `${body.verdict} ${body.reason?.code}`;
};

const CALLS = 20_000;
const KILLS = 20;

describe('kill -9 under load', () => {
  it('of every process in turn loses no answered allow, doubles none and leaves no gap', async () => {
    const seed = Number(process.env['TEST_SEED'] ?? Date.now() % 2 ** 32);
    console.log(`crash run with TEST_SEED=${seed}`);
    const run = await crashRun(live, {
      width: 32,
      random: randomOf(seed),
      goOn: ({ kills, allowed }) => kills < KILLS || allowed < CALLS,
    });
    const { allowed, ...told } = run;
    console.log({ ...told, allowed: allowed.length });
    expect(await chainOf(allowed)).toMatchObject(INTACT);
    expect(await missedMessages(live.system.databaseAdminUrl)).toEqual([]);
    expect(Object.keys(run.kills).sort()).toEqual(Object.keys(live.system.pids()).sort());
    expect(await said()).toBe('allow policy.allowed');
  });
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
    expect(await chainOf(allowed)).toMatchObject(INTACT);
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
