// A policy that computes without end: the watchdog ends the process, and every worker refuses the digest from then on.

import { spawn } from 'node:child_process';
import { once } from 'node:events';

import { afterAll, beforeAll, expect, it } from 'vitest';

import { CONTROL_KEYS } from '#contracts/control.ts';

import { ALLOW_ALL, startWorld, type World } from '../../support/world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.close());

const reason = async (capability: string) => {
  const answer = await world.ask({ capability });
  return answer.kind === 'decided' ? answer.body.reason.code : answer.kind;
};

it('is marked, its process killed, and its digest refused by every worker', async () => {
  const capability = await world.mint([{ t: 'tool_allow', tools: ['*'] }]);
  const digest = await world.activate(ALLOW_ALL);
  expect(await reason(capability)).toBe('policy.allowed');

  const script = new URL('../../support/endless.ts', import.meta.url).pathname;
  const { url, monitorUrl } = world.nats;
  const child = spawn(
    process.execPath,
    [script, url, world.nats.passwordFile('decision-worker'), monitorUrl, digest],
    { stdio: 'inherit' },
  );
  const [, signal] = (await once(child, 'exit')) as [number | null, string];

  expect(signal).toBe('SIGKILL');
  const control = await world.operator.bucket('control');
  expect((await control.get(CONTROL_KEYS.runaway('acme', digest)))?.operation).toBe('PUT');
  await expect.poll(() => reason(capability)).toBe('policy.runaway');

  await world.activate(`${ALLOW_ALL}\n# another digest\n`);
  await expect.poll(() => reason(capability)).toBe('policy.allowed');
});
