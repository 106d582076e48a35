// Budgets settled by outcomes: only a call that the ingress did not send gets back what it drew.

import { afterAll, beforeAll, expect, it } from 'vitest';

import { CONTROL_KEYS } from '#contracts/control.ts';
import { asDecisionId, type DecisionId } from '#contracts/ids.ts';
import type { OutcomeLeaf } from '#contracts/outcome.ts';
import { encodeRecords } from '#contracts/record.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import { readConfig } from '#host/config.ts';
import { readMacKeys } from '#host/keys.ts';
import { type PublishRecord, recordPublisher } from '#host/publish.ts';

import { SettlerConfig } from '../../../services/budget-settler/config.ts';
import { start } from '../../../services/budget-settler/main.ts';
import { startWorld, type World } from '../../support/world.ts';

const POLICY = `package countersign.policy
decision := {"verdict": "allow", "cost": 2500000}
`;

let world: World;
let capability: string;
let publish: PublishRecord;
const settlers: { stop: () => Promise<void> }[] = [];
beforeAll(async () => {
  world = await startWorld();
  await world.activate(POLICY);
  await world.put(CONTROL_KEYS.budgets(world.tenant), {
    ceilings: [
      { scope: 'tenant', window: 'month', calls: 1_000, cost: 1_000_000_000 },
      { scope: 'task', window: 'day', cost: 1_000_000_000 },
    ],
  });
  capability = await world.mint([{ t: 'tool_allow', tools: ['*'] }]);
  publish = recordPublisher(await world.bus('ingress'), readMacKeys(world.macKeysFile));
  const config = readConfig(SettlerConfig, {
    COUNTERSIGN_NATS_URL: world.nats.url,
    COUNTERSIGN_NATS_PASSWORD_FILE: world.nats.passwordFile('budget-settler'),
    COUNTERSIGN_NATS_MONITOR_URL: world.nats.monitorUrl,
    COUNTERSIGN_MAC_KEYS_FILE: world.macKeysFile,
    COUNTERSIGN_LOG_LEVEL: 'fatal',
  });
  settlers.push(await start(config), await start(config)); // it takes one; two do no harm
});
afterAll(async () => {
  for (const settler of settlers) await settler.stop();
  await world.close();
});

async function allowed(): Promise<DecisionId> {
  const answer = await world.ask({ capability });
  if (answer.kind !== 'decided' || answer.body.verdict !== 'allow') throw new Error('not allowed');
  return asDecisionId(answer.body.decision_id);
}

async function report(id: DecisionId, what: Pick<OutcomeLeaf, 'status' | 'reported_by'>) {
  const leaf = { at: Date.now(), commitments: {}, decision_id: id, id, kind: 'outcome', ...what };
  const body = encodeRecords([{ leaf: JSON.stringify(leaf), payload: '{}' }]);
  await publish(SUBJECTS.outcome(world.tenant, 0), body);
}

/** Sums of the counters of each window and unit. */
async function counted(): Promise<Record<string, number>> {
  const sums: Record<string, number> = {};
  for (const window of ['MONTH', 'DAY'] as const) {
    const { state } = await world.operator.jsm.streams.info(`COUNT_${window}`, {
      subjects_filter: '>',
    });
    for (const subject of Object.keys(state.subjects ?? {})) {
      const last = await world.operator.jsm.streams.getMessage(`COUNT_${window}`, {
        last_by_subj: subject,
      });
      const scope = subject.includes('.tenant.') ? 'calls' : 'cost';
      sums[`${window} ${scope}`] = Number(last?.json<{ val: string }>().val);
    }
  }
  return sums;
}

it('a call that was not sent gets back its call and its cost, once; every other stays charged', async () => {
  const ids = [await allowed(), await allowed(), await allowed(), await allowed(), await allowed()];
  const [unsent, executed, failed, unknown, claimed] = ids as [
    DecisionId,
    DecisionId,
    DecisionId,
    DecisionId,
    DecisionId,
  ];
  // What the worker keeps at hand for a second goes back first.
  await expect
    .poll(counted, { timeout: 5_000 })
    .toEqual({ 'MONTH calls': 5, 'MONTH cost': 12_500_000, 'DAY cost': 12_500_000 });
  await report(executed, { status: 'executed', reported_by: 'ingress' });
  await report(failed, { status: 'failed', reported_by: 'ingress' });
  await report(unknown, { status: 'unknown', reported_by: 'chainer' });
  // An agent that runs calls itself could make them free.
  await report(claimed, { status: 'refused_late', reported_by: 'caller' });
  await report(unsent, { status: 'refused_late', reported_by: 'ingress' });
  await report(unsent, { status: 'refused_late', reported_by: 'ingress' });
  const settled = { 'MONTH calls': 4, 'MONTH cost': 10_000_000, 'DAY cost': 10_000_000 };
  await expect.poll(counted).toEqual(settled);
  await expect
    .poll(async () => {
      const { ack_floor: floor } = await world.operator.jsm.consumers.info(
        'OUTCOMES',
        'settle-outcomes',
      );
      return floor.stream_seq;
    })
    .toBe(6);
  expect(await counted()).toEqual(settled);
});

it('a capability that limits an amount in total counts what the calls ask for', async () => {
  const exp = Math.floor(Date.now() / 1_000) + 600;
  const token = await world.mint([
    { t: 'exp', exp },
    { t: 'tool_allow', tools: ['*'] },
    { t: 'amount', path: '/amount', total: 10.5 },
  ]);
  const ask = async (amount: number) => {
    const answer = await world.ask({
      capability: token,
      tool: 'refund_order',
      args: { order_id: 'o', amount },
    });
    if (answer.kind !== 'decided') throw new Error(answer.kind);
    const { body } = answer;
    return [body.reason.code, body.budget?.find(({ unit }) => unit === 'amount')?.used];
  };
  expect([await ask(4.1), await ask(6.4), await ask(0.000_000_1), await ask(0)]).toEqual([
    ['policy.allowed', 4_100_000],
    ['policy.allowed', 10_500_000],
    ['budget.capability_exhausted', undefined],
    ['policy.allowed', undefined],
  ]);
  expect(await ask(11)).toEqual(['budget.capability_exhausted', undefined]);
});
