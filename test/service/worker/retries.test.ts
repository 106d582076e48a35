// A storm of retries under call ids, over workers that stop and start meanwhile: each call is judged and charged once,
// and no id serves for another call (promise B2). COUNTERSIGN_TEST_RUNS=20000 makes 100,000 retries.

import { randomInt, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, expect, it } from 'vitest';

import { CONTROL_KEYS } from '#contracts/control.ts';
import { SUBJECTS } from '#contracts/subjects.ts';

import { runs, runsTimeout } from '../../support/runs.ts';
import { ALLOW_ALL, startWorld, type World } from '../../support/world.ts';

const CALLS = runs(200).numRuns;
const RETRIES = 5;
const CALLERS = 48;
const WORKERS = 3;
/** So often is a worker stopped and another one started. */
const CALLS_A_SWAP = 50;
const JITTER_MS = 40;
/** Of one retry, which is told to come again meanwhile. */
const TRIES_MAX = 2_000;

let world: World;
let capability: string;
const workers: { readonly stop: () => Promise<void> }[] = [];
beforeAll(async () => {
  world = await startWorld({ workers: 0 });
  for (const stream of ['DECISIONS', 'ANSWERS', 'JOURNAL']) {
    await world.operator.jsm.streams.update(stream, { max_bytes: -1 }); // a long run stores much
  }
  await world.activate(ALLOW_ALL);
  // With room: retries reserve units for a moment, and workers take some ahead.
  const ceilings = [{ scope: 'tenant', window: 'month', calls: CALLS * 2 + 1_000 }];
  await world.put(CONTROL_KEYS.budgets(world.tenant), { ceilings });
  for (let count = 0; count < WORKERS; count += 1) workers.push(await world.startWorker());
  capability = await world.mint([{ t: 'tool_allow', tools: ['*'] }]);
}, 60_000);
afterAll(() => world.close());

/** Code of the answer, and which decision it is. */
async function ask(call_id: string, args: { order_id: string }) {
  const answer = await world.ask({ capability, call_id, args, deadlineMs: 10_000 });
  if (answer.kind === 'decided')
    return { code: answer.body.reason.code, decision: answer.body.decision_id };
  return { code: answer.kind === 'refused' ? answer.code : answer.kind, decision: '' };
}

/** Asks until it is told: a retry that comes too early, or whose worker goes, is told to try again. */
async function told(call_id: string, args: { order_id: string }) {
  for (let tries = 1; ; tries += 1) {
    const answer = await ask(call_id, args);
    const mayPass = answer.code === 'call.in_progress' || answer.code.startsWith('service.');
    if (!mayPass || tries === TRIES_MAX) return answer;
    await sleep(randomInt(JITTER_MS));
  }
}

async function swapWorker(): Promise<void> {
  workers.push(await world.startWorker());
  await workers.shift()?.stop();
}

async function spent(): Promise<number> {
  const { jsm } = world.operator;
  const filter = SUBJECTS.counters('month').replace('>', `${world.tenant}.tenant.>`);
  const { state } = await jsm.streams.info('COUNT_MONTH', { subjects_filter: filter });
  let sum = 0;
  for (const subject of Object.keys(state.subjects ?? {})) {
    const last = await jsm.streams.getMessage('COUNT_MONTH', { last_by_subj: subject });
    sum += Number(last?.json<{ val: string }>().val ?? 0);
  }
  return sum;
}

it(
  'of retries charges each call once, and refuses its id for another call',
  async () => {
    const wrong: unknown[] = [];
    let next = 0;
    let swapping = Promise.resolve();
    const oneCall = async (number: number) => {
      if (number % CALLS_A_SWAP === 0) swapping = swapping.then(swapWorker);
      const call_id = randomUUID();
      const args = { order_id: `o-${number}` };
      const retries = Array.from({ length: RETRIES }, async () => {
        await sleep(randomInt(JITTER_MS));
        return told(call_id, args);
      });
      const answers = await Promise.all([told(call_id, args), ...retries]);
      const decisions = new Set(answers.map(({ code, decision }) => `${code} ${decision}`));
      if (decisions.size !== 1 || answers[0]?.code !== 'policy.allowed') wrong.push(answers);
      const other = await told(call_id, { order_id: `other than ${number}` });
      if (other.code !== 'call.conflict') wrong.push(other);
    };
    const caller = async () => {
      while (next < CALLS) {
        next += 1;
        await oneCall(next);
      }
    };
    await Promise.all(Array.from({ length: CALLERS }, caller));
    await swapping;
    expect(wrong).toEqual([]);
    // What retries had reserved is on its way back for a moment.
    await expect.poll(spent, { timeout: 20_000 }).toBe(CALLS);
  },
  60_000 + runsTimeout(200) * 20,
);
