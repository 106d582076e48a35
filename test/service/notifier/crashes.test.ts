// Promise A1 to A4 while things break for real: notifier and approval service are killed again and again, Postgres once,
// and Slack is away, refuses and loses answers. Nothing is wrongly allowed, nothing lost, each person asked once or told
// that it may be a repeat. COUNTERSIGN_OUTAGE_S sets how long Slack and Postgres are away.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, expect, it } from 'vitest';

import { CHECKOUT } from '#cli/local/places.ts';
import { eventually, told } from '#test/support/approvals.ts';
import { type FakeSlack, startFakeSlack } from '#test/support/fake-slack.ts';
import { type Notifying, startNotifying } from '#test/support/notifier.ts';

const OUTAGE_MS = Number(process.env['COUNTERSIGN_OUTAGE_S'] ?? 1) * 1_000;
const CALLS = 16;
const KILLS = 4;
/** What Slack does to requests while each of the two processes dies. */
const BAD = [
  ['lost', { status: 500 }],
  ['away', { status: 429, headers: { 'retry-after': '1' } }],
] as const;

let slack: FakeSlack;
let all: Notifying;
const spawned = new Set<ChildProcess>();
beforeAll(async () => {
  slack = await startFakeSlack({ token: 'xoxb-1', signingSecret: 's', burst: 200 });
  const secrets = { token: 'xoxb-1', signing: 's' };
  const team = { name: 'team', kind: 'slack', url: slack.api, to: 'C0TEAM', group_s: 0, secrets };
  all = await startNotifying([team], [slack.target], { services: 0 });
}, 120_000);
afterAll(async () => {
  for (const child of spawned) child.kill('SIGKILL');
  await all?.close();
  await slack?.close();
});

/** A real process, once it says that it works. */
async function launch(name: string, ready: string, env: Readonly<Record<string, string>>) {
  const child = spawn(process.execPath, [join(CHECKOUT, `services/${name}/main.ts`)], {
    env: { PATH: process.env['PATH'], ...env, COUNTERSIGN_LOG_LEVEL: 'info' },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  spawned.add(child);
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await eventually(async () => (said.includes(ready) ? true : undefined));
  return child;
}
async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
  spawned.delete(child);
}

/** Messages that ask about a call, as they were posted. */
const postsOf = (approval: string) =>
  slack.posts.map(({ blocks }) => JSON.stringify(blocks)).filter((text) => text.includes(approval));

it('killed processes, a killed database and a bad Slack lose nothing and ask nobody twice unsaid', async () => {
  const { held } = all;
  const starts = [
    async () => launch('notifier', 'telling people', await all.environment()),
    async () => launch('approval-escalation', 'holding calls', await held.environment()),
  ];
  const running = await Promise.all(starts.map((start) => start()));

  const calls = Array.from({ length: CALLS }, (_, n) => ({
    tool: 'refund_order',
    args: { order_id: `o-${n}`, amount: 9 },
  }));
  const breaking = (async () => {
    for (let round = 0; round < KILLS; round++) {
      const which = round % 2;
      slack.failNext(...(BAD[which] ?? []));
      await sleep(200 + Math.random() * 600);
      await kill(running[which] as ChildProcess);
      if (round === 2) {
        await held.postgres.kill();
        await sleep(OUTAGE_MS);
        await held.postgres.restart();
      }
      running[which] = await (starts[which] as (typeof starts)[0])();
    }
  })();
  const ids: string[] = [];
  /** Calls that nobody was asked about, nor is a dead letter about: one that may have arrived twice is not sent a third time. */
  const notSaid = async () => {
    const dead = await held.query<{ approval: string }>(
      `select approval from notices where state = 'dead'`,
    );
    const listed = new Set(dead.map(({ approval }) => approval));
    return ids.filter((id) => postsOf(id).length === 0 && !listed.has(id));
  };
  for (const call of calls) {
    const [verdict, , id] = told(await held.world.ask(call));
    expect(verdict).toBe('escalate');
    ids.push(id);
    await sleep(100);
  }
  await breaking;
  // What a killed process had taken is free again after its lease; the test does not wait for it.
  await held.query('update notices set due_at = 0 where started_at is not null');
  await eventually(async () => ((await notSaid()).length === 0 ? true : undefined));

  const release = async (id: string, call: (typeof calls)[number]) => {
    expect(told(await held.world.ask(call))[0]).toBe('escalate');
    await eventually(async () => {
      const reply = await held.approve(id).catch(() => undefined);
      return reply?.ok === true ? true : undefined;
    });
    await held.until(id, 'approved');
    const releases = await Promise.all([held.world.ask(call), held.world.ask(call)]);
    expect(releases.map((answer) => told(answer)[0]).toSorted()).toEqual(['allow', 'block']);
  };
  await Promise.all(calls.map((call, index) => release(ids[index] ?? '', call)));
  const approved = async () =>
    slack.messages().filter(({ blocks }) => JSON.stringify(blocks).includes('Approved by ada'));
  const [unknown] = await held.query<{ count: number }>(
    `select count(*)::int as count from notices where state = 'dead' and kind = 'ask'`,
  );
  const unsaid = unknown?.count ?? 0;
  expect(unsaid).toBeLessThanOrEqual(BAD.length);
  await eventually(async () => ((await approved()).length >= CALLS - unsaid ? true : undefined));
  for (const id of ids) {
    const [, ...more] = postsOf(id);
    expect(more.map((text) => text.includes('may be a repeat'))).toEqual(more.map(() => true));
    expect(more.length).toBeLessThanOrEqual(1);
  }
  const [dead] = await held.query<{ count: number }>(
    `select count(*)::int as count from notices where state = 'dead' and unsure = 0`,
  );
  expect(dead?.count).toBe(0);
}, 180_000);
