// A worker that cannot see its own heartbeat come back does not decide on what it knew before.

import { afterAll, beforeAll, expect, it } from 'vitest';

import { type CallEnvelope, CLOCK_SKEW_MS, decodeAnswers, encodeCalls } from '#contracts/call.ts';
import { SUBJECTS } from '#contracts/subjects.ts';

import { ALLOW_ALL, startWorld, type World } from '../../support/world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
  await world.activate(ALLOW_ALL);
});
afterAll(() => world.close());

it('refuses what was sent in its future: its clock is behind', async () => {
  const ingress = await world.bus('ingress');
  const answered = new Promise<string>((resolve) => {
    ingress.subscribe(`${ingress.inbox}.clock.>`, {}, (message) => resolve(message.string()));
  });
  const envelope: CallEnvelope = {
    v: 1,
    n: 1,
    ask: 'decide',
    via: 'http',
    tenant: world.tenant,
    sent_at: Date.now() + CLOCK_SKEW_MS + 1_000,
    remaining_ms: 1_000,
    identity: await world.identity(),
    capability: '',
    tool: 'lookup_order',
    upstream: '',
    forwards: false,
    client: { address: '', name: '', version: '', era: '' },
  };
  const calls = encodeCalls([{ envelope, args: '{}' }]);
  ingress.publish(SUBJECTS.call(world.tenant, 0), calls, `${ingress.inbox}.clock.1`);
  expect(decodeAnswers(await answered)).toMatchObject([{ kind: 'refused', code: 'service.clock' }]);
});

it('refuses as stale once the control feed is silent', async () => {
  const capability = await world.mint([{ t: 'tool_allow', tools: ['*'] }]);
  const code = async () => {
    const answer = await world.ask({ capability });
    return answer.kind === 'decided'
      ? answer.body.reason.code
      : answer.kind === 'refused'
        ? answer.code
        : '';
  };
  expect(await code()).toBe('policy.allowed');
  await world.operator.jsm.streams.delete('KV_control');
  await expect.poll(code, { timeout: 15_000, interval: 250 }).toBe('service.stale');
});
