// A process whose clock is set an hour wrong while it runs is not ready, says why and refuses; five seconds are nothing.

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { CHECKOUT } from '#cli/local/places.ts';
import { readState } from '#cli/local/run-state.ts';

import { type Live, startLive } from '../support/live.ts';

const HOUR_MS = 3_600_000;
const PRELOAD = pathToFileURL(join(CHECKOUT, 'test', 'support', 'set-clock.ts')).href;
/** By service, in milliseconds: both ways, and one that must not matter. */
const OFF: Readonly<Record<string, number>> = {
  'decision-worker': -HOUR_MS,
  ingress: HOUR_MS,
  admin: HOUR_MS,
  'audit-chainer': -HOUR_MS,
  notifier: HOUR_MS,
  'approval-escalation': -HOUR_MS,
  'budget-settler': HOUR_MS,
};

let live: Live;
beforeAll(async () => {
  live = await startLive({
    env: (service) => ({
      NODE_OPTIONS: `--import=${PRELOAD}`,
      TEST_CLOCK_OFF_MS: String(OFF[service] ?? 0),
    }),
  });
}, 120_000);
afterAll(() => live.close());

const call = { tool: 'lookup_order', arguments: { order_id: 'ord_1001' } };
const code = async () => (await live.call(call)).body.reason?.code;

/** Sets a clock wrong, or right again. */
function set(service: string): void {
  process.kill(live.system.pids()[service] ?? 0, 'SIGUSR2');
}

async function reasons(service: string): Promise<readonly string[]> {
  const { processes = [] } = readState(live.system.dir) ?? {};
  const { readyUrl = '' } = processes.find(({ name }) => name === service) ?? {};
  const answer = (await (await fetch(readyUrl)).json()) as { reasons: string[] };
  return answer.reasons.filter((reason) => reason.includes('clock'));
}

const waits = { timeout: 20_000, interval: 100 };

describe.each(Object.keys(OFF))('%s with a clock that is an hour off', (service) => {
  it('is not ready, says why, and is ready again when the clock is right', async () => {
    expect(await reasons(service)).toEqual([]);
    set(service);
    const [way] = OFF[service]! > 0 ? ['ahead of'] : ['behind'];
    await expect
      .poll(() => reasons(service), waits)
      .toContainEqual(expect.stringMatching(new RegExp(`this clock is 3600 s ${way} `)));
    set(service);
    await expect.poll(() => reasons(service), waits).toEqual([]);
  });
});

describe.each(['decision-worker', 'ingress'])('%s', (service) => {
  it('refuses from the first call on, and decides again once its clock is right', async () => {
    await expect.poll(code, waits).toBe('policy.allowed');
    set(service);
    // The signal comes a moment later than it is sent; from then on nothing is allowed.
    await expect.poll(code, waits).toBe('service.clock');
    expect([await code(), await code()]).toEqual(['service.clock', 'service.clock']);
    set(service);
    await expect.poll(code, waits).toBe('policy.allowed');
  });
});

it('admin mints nothing whose expiry would be wrong, and stops what is to be stopped', async () => {
  set('admin');
  await expect.poll(() => reasons('admin'), waits).toHaveLength(1);
  const minted = await live.admin('POST', 'capabilities', { agent: 'shop-agent', tools: ['*'] });
  expect([minted.status, (minted.body['error'] as { code: string }).code]).toEqual([
    503,
    'service.clock',
  ]);
  const stopped = await live.admin('POST', 'switches', {
    scope: 'session',
    id: 's',
    reason: 'drill',
  });
  expect(stopped.body['visible']).toBe(true);
  set('admin');
});
