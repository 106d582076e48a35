// A class that is observed: its calls run, and the agent is told that they would not.

import { afterAll, beforeAll, expect, test } from 'vitest';

import { CONTROL_KEYS } from '#contracts/control.ts';
import { type ClassMode, CRITERIA_DEFAULT, type Mode } from '#contracts/mode.ts';
import {
  type Gateway,
  modern,
  type RecordingUpstream,
  startGateway,
  startRecorder,
} from '#test/support/gateway.ts';

const POLICY = `package countersign.policy
default decision := {"verdict": "allow"}
decision := {"verdict": "block"} if input.call.tool == "risky"
`;

let gateway: Gateway;
let upstream: RecordingUpstream;
beforeAll(async () => {
  gateway = await startGateway(POLICY);
  upstream = await startRecorder();
  await gateway.upstream('rec', upstream.url, { tools: ['risky', 'plain'] });
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

const setMode = (mode: Mode) =>
  gateway.world.put(CONTROL_KEYS.mode('acme', 'shop'), {
    class: 'shop',
    mode,
    canary: null,
    criteria: CRITERIA_DEFAULT,
    by: 'ada',
    reason: 'r',
    override: true,
    since: 1,
  } satisfies ClassMode);

/** What the agent reads, and the warning beside it. */
async function call(tool: string): Promise<[string, string | undefined]> {
  const { body, headers } = modern('tools/call', { name: tool, arguments: {} });
  const answer = await gateway.rpc('rec', body, headers);
  const { content, _meta = {} } = answer.body.result;
  return [content[0].text.slice(0, 21), _meta['countersign/warning']];
}

test('a call that a mode lets run carries a warning, any other none', async () => {
  expect(await call('risky')).toEqual(['This call was blocked', undefined]);
  await setMode('observe');
  await expect
    .poll(() => call('risky'))
    .toEqual([
      'done',
      'Allowed only because its agent class is in mode observe. Otherwise it would be blocked: policy.blocked.',
    ]);
  expect(await call('plain')).toEqual(['done', undefined]);
  await setMode('soft-block');
  await expect.poll(() => call('risky')).toEqual(['This call was blocked', undefined]);
});
