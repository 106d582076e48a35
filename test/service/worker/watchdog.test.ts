// The watchdog ends what computes without end, whatever else is broken, and nothing that merely did not get to run.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import { expect, it } from 'vitest';

const script = new URL('../../support/evaluating.ts', import.meta.url).pathname;
/** Nobody listens there. */
const NO_BROKER = 'nats://127.0.0.1:9';

function evaluating(mode: 'stopped' | 'endless') {
  const child = spawn(process.execPath, [script, NO_BROKER, mode], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let said = '';
  child.stdout.on('data', (text) => (said += text));
  return { child, said: () => said, exit: once(child, 'exit') as Promise<[number, string]> };
}

it('a process that was stopped in the middle of an evaluation goes on', async () => {
  const { child, said, exit } = evaluating('stopped');
  await once(child.stdout, 'data');
  await sleep(200); // the watchdog has seen this evaluation
  child.kill('SIGSTOP');
  expect(said()).toBe('inside\n');
  await sleep(2_500);
  child.kill('SIGCONT');
  expect(await exit).toEqual([0, null]);
  expect(said()).toBe('inside\ndone\n');
});

it('an evaluation without end is ended also when the broker is away', async () => {
  const { child, exit } = evaluating('endless');
  const late = setTimeout(() => child.kill('SIGTERM'), 20_000);
  expect(await exit).toEqual([null, 'SIGKILL']);
  clearTimeout(late);
});
