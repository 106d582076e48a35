// One worker of two is cut off while calls go on: it allows nothing past its bound by what it knew, the other goes on and
// hears of everything, and it comes back by itself.

import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';

import { anyFreePort } from '#cli/local/ports.ts';
import { decodeCapability } from '#contracts/capability.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import type { DecisionLeaf } from '#contracts/decision.ts';
import { revisionOf } from '#contracts/ids.ts';
import { decodeRecords } from '#contracts/record.ts';

import { start } from '../../../services/decision-worker/main.ts';
import { STALE_MS } from '../../../services/decision-worker/serve.ts';
import { type Cut, startCut } from '../../support/cut.ts';
import { ALLOW_ALL, startWorld, type World } from '../../support/world.ts';

let world: World;
let cut: Cut;
let far: { readonly stop: () => Promise<void> };
let farReady: string;
let open: string;
beforeAll(async () => {
  world = await startWorld();
  await world.activate(ALLOW_ALL);
  open = await world.mint([{ t: 'tool_allow', tools: ['*'] }]);
  cut = await startCut(world.nats.url);
  const port = await anyFreePort();
  farReady = `http://127.0.0.1:${port}/readyz`;
  far = await start({
    ...world.workerConfig(),
    COUNTERSIGN_NATS_URL: cut.url,
    COUNTERSIGN_HEALTH_PORT: port,
    COUNTERSIGN_WORKER_ID: 'far',
  });
});
afterAll(async () => {
  cut.set('open');
  await far.stop();
  await cut.close();
  await world.close();
});

beforeEach(() => cut.set('open'));

const waits = { timeout: 40_000, interval: 50 };

async function code(question: Parameters<World['ask']>[0] = {}): Promise<string> {
  const unaware = { min_revision: world.unaware, deadlineMs: 1_000 };
  const answer = await world.ask({ capability: open, ...unaware, ...question });
  if (answer.kind === 'refused') return answer.code;
  return answer.kind === 'decided' ? answer.body.reason.code : '';
}

async function reasons(): Promise<readonly string[]> {
  return ((await (await fetch(farReady)).json()) as { reasons: string[] }).reasons;
}

const idOf = (capability: string): string => {
  const decoded = decodeCapability(capability);
  return decoded.ok ? decoded.capability.claims.jti : '';
};

/** @returns the revision at which it is revoked */
async function revoke(capability: string): Promise<string> {
  const id = idOf(capability);
  const value = { kind: 'capability', id, reason: 'r', by: 'ada', at: 1 };
  const sequence = await world.put(CONTROL_KEYS.revocation('acme', 'capability', id), value);
  return revisionOf(await world.operator.epoch('CONTROL'), sequence);
}

/** What each worker recorded of a capability. */
async function recorded(capability: string): Promise<DecisionLeaf[]> {
  const { state } = await world.operator.jsm.streams.info('DECISIONS');
  const found: DecisionLeaf[] = [];
  for (let seq = state.first_seq; seq <= state.last_seq; seq += 1) {
    const message = await world.operator.jsm.streams.getMessage('DECISIONS', { seq });
    for (const { leaf } of decodeRecords(message?.string() ?? '')) {
      const decision = JSON.parse(leaf) as DecisionLeaf;
      if (leaf.includes(idOf(capability))) found.push(decision);
    }
  }
  return found;
}
const byFar = (leaf: DecisionLeaf) => leaf.worker === 'far';

it('a worker that only the control feed does not reach allows nothing past its bound', async () => {
  const capability = await world.mint([{ t: 'tool_allow', tools: ['*'] }]);
  await expect
    .poll(async () => (await code({ capability }), (await recorded(capability)).some(byFar)), waits)
    .toBe(true);
  cut.set('no-control');
  const cutAt = Date.now();
  const revision = await revoke(capability);
  // Whoever is asked for that revision refuses: the one knows it, the other waits for it in vain.
  const demanded = new Set<string>();
  const seen = new Set<string>();
  await expect
    .poll(async () => {
      seen.add(await code({ capability }));
      demanded.add(await code({ capability, min_revision: revision as never, deadlineMs: 3_000 }));
      return seen.has('service.stale') && demanded.has('capability.revoked');
    }, waits)
    .toBe(true);
  expect([...demanded]).not.toContain('policy.allowed');
  expect(await reasons()).toContain('control: the control feed is silent');
  // The other decides all the while, and from now on nobody allows the revoked.
  const now = await Promise.all(Array.from({ length: 8 }, () => code({ capability })));
  expect(now.filter((one) => one === 'policy.allowed')).toEqual([]);
  await expect.poll(() => code(), waits).toBe('policy.allowed');
  const allows = (await recorded(capability)).filter(
    (leaf) => byFar(leaf) && leaf.verdict === 'allow',
  );
  expect(allows.filter(({ at }) => at > cutAt + STALE_MS)).toEqual([]);

  cut.set('open');
  await expect.poll(reasons, waits).toEqual([]);
  await expect
    .poll(async () => {
      await code({ capability });
      return (await recorded(capability)).some(
        (leaf) => byFar(leaf) && leaf.reason === 'capability.revoked',
      );
    }, waits)
    .toBe(true);
}, 90_000);

it('a worker that nothing reaches leaves the calls to the other, and knows on its return what it missed', async () => {
  const capability = await world.mint([{ t: 'tool_allow', tools: ['*'] }]);
  await expect
    .poll(async () => (await code({ capability }), (await recorded(capability)).some(byFar)), waits)
    .toBe(true);
  cut.set('black-hole');
  const revision = await revoke(capability);
  await expect
    .poll(() => code({ capability, min_revision: revision as never }), waits)
    .toBe('capability.revoked');
  await expect.poll(reasons, waits).toContain('control: the control feed is silent');
  // Calls that the broker still sends to it are lost and refused, until the broker has noticed.
  await expect
    .poll(async () => new Set(await Promise.all(Array.from({ length: 16 }, () => code()))), waits)
    .toEqual(new Set(['policy.allowed']));

  cut.set('open');
  await expect
    .poll(async () => {
      const answer = await code({ capability });
      expect(['capability.revoked', 'service.stale']).toContain(answer);
      return (await recorded(capability)).some(
        (leaf) => byFar(leaf) && leaf.reason === 'capability.revoked',
      );
    }, waits)
    .toBe(true);
  expect(await reasons()).toEqual([]);
}, 90_000);
