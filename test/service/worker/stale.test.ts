// A worker that cannot see its own heartbeat come back does not decide on what it knew before.

import { afterAll, beforeAll, expect, it } from 'vitest';

import { ALLOW_ALL, startWorld, type World } from '../../support/world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
  await world.activate(ALLOW_ALL);
});
afterAll(() => world.close());

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
