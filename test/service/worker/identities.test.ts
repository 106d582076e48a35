// Who is who: ids that look alike, tokens of people, times without end, and what of it stands in the chain.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { WorkerAnswer } from '#contracts/call.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import { payloadFault } from '#contracts/payload.ts';
import { decodeRecords } from '#contracts/record.ts';

import { ALLOW_ALL, startWorld, type World } from '../../support/world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
  await world.activate(ALLOW_ALL);
});
afterAll(() => world.close());

const told = (answer: WorkerAnswer) =>
  answer.kind === 'decided'
    ? `${answer.body.verdict} ${answer.body.reason.code}`
    : answer.kind === 'refused'
      ? `refused ${answer.code}`
      : answer.kind;
const as = async (agent: string) =>
  told(await world.ask({ identity: await world.identity({ act: { sub: agent } }) }));

async function recordOf(answer: WorkerAnswer) {
  if (answer.kind !== 'decided') throw new Error(told(answer));
  const { sequence, index } = answer.position;
  const message = await world.operator.jsm.streams.getMessage('DECISIONS', { seq: sequence });
  const record = decodeRecords(message?.string() ?? '')[index];
  if (record === undefined) throw new Error('no such record');
  return record;
}

describe('an agent id', () => {
  const cases: [name: string, registered: string, other: string][] = [
    ['in another case', 'Agent-A', 'agent-a'],
    ['with a dot or its encoding', 'a.b', 'a=2Eb'],
    ['with a letter that looks alike', 'pаypal', 'paypal'],
    ['in another normal form', 'caf\u00e9', 'cafe\u0301'],
    ['with a blank at its end', 'agent', 'agent '],
    ['of 256 characters, and one more', '話'.repeat(256), '話'.repeat(255)],
    ['beyond the basic plane', '\u{1f916}'.repeat(128), '\u{1f916}'.repeat(127)],
    ['that is a wildcard', '*', '>'],
  ];
  it.each(cases)('%s is another agent', async (_, registered, other) => {
    await world.put(CONTROL_KEYS.agent(world.tenant, registered), { grant: { tools: ['*'] } });
    await expect.poll(() => as(registered)).toBe('allow policy.allowed');
    expect(await as(other)).toBe('block identity.unknown_agent');
  });

  it('that is too long is none', async () => {
    expect(await as('x'.repeat(257))).toBe('refused identity.claims');
  });
});

it('a person who calls without an agent is named in the payload, never in the chain', async () => {
  const alone = await world.identity({ sub: 'carol@example.com', claims: { act: undefined } });
  const refused = await world.ask({ identity: alone });
  expect(told(refused)).toBe('block identity.unknown_agent');
  const { leaf, payload } = await recordOf(refused);
  expect(leaf).not.toContain('carol');
  expect(payload).toContain('carol@example.com');
  // The same person through an agent has the same pseudonym.
  const through = await world.ask({ identity: await world.identity({ sub: 'carol@example.com' }) });
  const personOf = (text: string) => (JSON.parse(text) as { person: string }).person;
  expect(personOf(leaf)).toMatch(/^p_/);
  expect(personOf(leaf)).toBe(personOf((await recordOf(through)).leaf));
});

it('a token that ends in the distant future leaves a record that can be proved', async () => {
  const identity = await world.identity({ expiresIn: 253_402_300_800_000 as never });
  const { leaf, payload } = await recordOf(await world.ask({ identity }));
  expect(payloadFault(JSON.parse(leaf), payload)).toBe('');
});
