// Eight workers as processes, killed and replaced while calls race for a ceiling: never over, and what the killed ones
// had taken comes back, by two settlers that nobody asks. COUNTERSIGN_TEST_KILLS makes it longer.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, expect, it } from 'vitest';

import { CHECKOUT } from '#cli/local/places.ts';
import { readDraws } from '#contracts/budget.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import { decodeRecords } from '#contracts/record.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import { readConfig } from '#host/config.ts';

import { SettlerConfig } from '../../../services/budget-settler/config.ts';
import { start as startSettler } from '../../../services/budget-settler/main.ts';
import { ALLOW_ALL, startWorld, type World } from '../../support/world.ts';

const WORKERS = 8;
const KILLS = Number(process.env['COUNTERSIGN_TEST_KILLS'] ?? 3);
const CEILING = KILLS * 400;
const CALLERS = 24;

let world: World;
let capability: string;
const workers: ChildProcess[] = [];
const settlers: { stop: () => Promise<void> }[] = [];
beforeAll(async () => {
  world = await startWorld({ workers: 0 });
  await world.activate(ALLOW_ALL);
  capability = await world.mint([{ t: 'tool_allow', tools: ['*'] }]);
  const ceilings = [{ scope: 'tenant', window: 'month', calls: CEILING }];
  await world.put(CONTROL_KEYS.budgets(world.tenant), { ceilings });
  await Promise.all(Array.from({ length: WORKERS }, startProcess));
  const config = readConfig(SettlerConfig, {
    COUNTERSIGN_NATS_URL: world.nats.url,
    COUNTERSIGN_NATS_PASSWORD_FILE: world.nats.passwordFile('budget-settler'),
    COUNTERSIGN_NATS_MONITOR_URL: world.nats.monitorUrl,
    COUNTERSIGN_MAC_KEYS_FILE: world.macKeysFile,
    COUNTERSIGN_LOG_LEVEL: 'fatal',
  });
  // As they run, but for the lease, which is shorter here.
  const options = { silentMs: 4_000, passMs: 500 };
  settlers.push(await startSettler(config, options), await startSettler(config, options));
}, 60_000);
afterAll(async () => {
  for (const settler of settlers) await settler.stop();
  for (const worker of workers) worker.kill('SIGKILL');
  await world.close();
});

/** Resolves once it decides. */
async function startProcess(): Promise<void> {
  const env = Object.entries({ ...world.workerConfig(), COUNTERSIGN_LOG_LEVEL: 'info' });
  const child = spawn(process.execPath, [join(CHECKOUT, 'services/decision-worker/main.ts')], {
    env: { PATH: process.env['PATH'], ...Object.fromEntries(env.map(([k, v]) => [k, String(v)])) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  workers.push(child);
  let said = '';
  for await (const chunk of child.stdout) {
    said += String(chunk);
    if (said.includes('"deciding"')) break;
  }
  child.stdout.resume();
}

async function killOne(): Promise<void> {
  const victim = workers.shift();
  if (victim === undefined) throw new Error('no worker is left');
  const exit = once(victim, 'exit');
  victim.kill('SIGKILL');
  await exit;
}

/** Calls one after the other until a ceiling says no. @returns how many were answered allow */
async function caller(): Promise<number> {
  let allowed = 0;
  for (;;) {
    const answer = await world.ask({ capability, deadlineMs: 2_000 });
    if (answer.kind === 'refused') await sleep(10); // its worker was killed, or all are busy
    else if (answer.kind === 'decided' && answer.body.verdict === 'allow') allowed += 1;
    else if (answer.kind === 'decided' && answer.body.reason.code === 'budget.exhausted')
      return allowed;
  }
}

/** Units that recorded allows drew. */
async function recorded(): Promise<number> {
  const { state } = await world.operator.jsm.streams.info('DECISIONS');
  let units = 0;
  for (let seq = state.first_seq; seq <= state.last_seq; seq += 1) {
    const message = await world.operator.jsm.streams.getMessage('DECISIONS', { seq });
    for (const { payload } of decodeRecords(message?.string() ?? ''))
      for (const draw of readDraws(payload)) units += draw.units;
  }
  return units;
}

async function counter(): Promise<number> {
  const filter = SUBJECTS.counters('month');
  const last = await world.operator.jsm.streams.getMessage('COUNT_MONTH', { last_by_subj: filter });
  return Number(last?.json<{ val: string }>().val);
}

it('admits at most the ceiling through kills, and what was taken by the killed comes back', async () => {
  const calling = Promise.all(Array.from({ length: CALLERS }, caller));
  for (let kills = 0; kills < KILLS; kills += 1) {
    await sleep(250); // in the middle of the race
    await killOne();
    void startProcess();
  }
  const allowed = (await calling).reduce((sum, each) => sum + each, 0);
  const inRecords = await recorded();
  expect(allowed).toBeLessThanOrEqual(inRecords);
  expect(inRecords).toBeLessThanOrEqual(CEILING);

  // The workers that live have said that nothing of theirs is open.
  await expect.poll(counter, { timeout: 40_000, interval: 500 }).toBe(inRecords);
  // Now the ceiling is full to the last unit, and not one beyond.
  const rest = CEILING - inRecords;
  const more = await Promise.all(Array.from({ length: 4 }, caller));
  expect(more.reduce((sum, each) => sum + each, 0)).toBe(rest);
  expect(await recorded()).toBe(CEILING);
}, 120_000);
