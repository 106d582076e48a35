// Facts of an outside system: they count only while its word is recent, and who is silent refuses calls.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { CONTROL_KEYS } from '#contracts/control.ts';
import { type Revision, revisionOf } from '#contracts/ids.ts';
import { decodeRecords } from '#contracts/record.ts';

import { startWorld, type World } from '../../support/world.ts';

const POLICY = `package countersign.policy
default decision := {"verdict": "block"}
decision := {"verdict": "allow"} if input.facts.person.active == true
decision := {"verdict": "allow"} if input.facts.flag.on == true
`;
const MAX_AGE_S = 60;

let world: World;
let capability: string;
let epoch: string;
beforeAll(async () => {
  world = await startWorld({ workers: 2 });
  capability = await world.mint([{ t: 'tool_allow', tools: ['*'] }]);
  epoch = await world.operator.epoch('CONTROL');
  await world.activate(POLICY, {
    facts: {
      person: { key: 'people/{principal.on_behalf_of}', required: false, default: {} },
      flag: { key: 'flags/{call.arguments.flag}', required: false, default: {} },
    },
  });
});
afterAll(() => world.close());

const ANN = 'people/ann=40example=2Ecom';
let revision: Revision;
const put = async (key: string, value: unknown): Promise<void> => {
  revision = revisionOf(epoch, await world.put(key, value));
};
const spoke = (at: number) => put(CONTROL_KEYS.sourceTime(world.tenant, 'hr'), { as_of: at });

const answer = async (args: Record<string, string> = {}) =>
  world.ask({
    capability,
    identity: await world.identity({ sub: 'ann@example.com' }),
    args,
    min_revision: revision,
  });
async function said(args?: Record<string, string>): Promise<string> {
  const answered = await answer(args);
  return answered.kind === 'decided' ? answered.body.reason.code : answered.kind;
}

describe('a fact that a source feeds', () => {
  it('counts from the first word of its source until it was silent for too long', async () => {
    await put(CONTROL_KEYS.fact(world.tenant, ANN), { active: true });
    const steps = [await said()];
    await put(CONTROL_KEYS.source(world.tenant, 'hr'), { keys: ['people'], max_age_s: MAX_AGE_S });
    steps.push(await said()); // it never spoke
    await spoke(Date.now());
    steps.push(await said());
    await spoke(Date.now() - (MAX_AGE_S + 1) * 1_000);
    steps.push(await said());
    await spoke(Date.now());
    steps.push(await said());
    expect(steps).toEqual([
      'policy.allowed',
      'facts.stale',
      'policy.allowed',
      'facts.stale',
      'policy.allowed',
    ]);
  });

  it('is stale also where it is not known: that is the word of its source too', async () => {
    await put(CONTROL_KEYS.fact(world.tenant, ANN), null);
    await spoke(0);
    expect(await said()).toBe('facts.stale');
    await spoke(Date.now());
    expect(await said()).toBe('policy.blocked');
  });

  it('is not that of another tenant, of a longer name, or of nobody', async () => {
    await put(CONTROL_KEYS.source('other', 'flags'), { keys: ['flags'], max_age_s: MAX_AGE_S });
    await put(CONTROL_KEYS.source(world.tenant, 'near'), { keys: ['flag'], max_age_s: MAX_AGE_S });
    await put(CONTROL_KEYS.fact(world.tenant, 'flags/x'), { on: true });
    expect(await said({ flag: 'x' })).toBe('policy.allowed');
  });

  it('does not get stale any more when its source is unregistered', async () => {
    await spoke(0);
    await put(CONTROL_KEYS.source(world.tenant, 'hr'), null);
    expect(await said({ flag: 'x' })).toBe('policy.allowed');
  });
});

it('the record of a stale call names the revision, and the source for the operator alone', async () => {
  await put(CONTROL_KEYS.source(world.tenant, 'hr'), { keys: ['people'], max_age_s: MAX_AGE_S });
  const answered = await answer();
  if (answered.kind !== 'decided') throw new Error(answered.kind);
  expect([answered.body.reason.code, JSON.stringify(answered.body)]).toEqual([
    'facts.stale',
    expect.not.stringContaining('hr'),
  ]);
  const { sequence, index } = answered.position;
  const message = await world.operator.jsm.streams.getMessage('DECISIONS', { seq: sequence });
  const { leaf = '', payload = '' } = decodeRecords(message?.string() ?? '')[index] ?? {};
  expect([JSON.parse(leaf).facts_revision, JSON.parse(payload).sections.evidence.detail]).toEqual([
    revision,
    'person: source hr',
  ]);
});
