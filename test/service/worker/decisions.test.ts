// The decision worker over a real broker with the shipped permissions: what it answers, and what stands in the stream.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { WorkerAnswer } from '#contracts/call.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import { canonical } from '#contracts/json.ts';
import { commitment, decodeRecords } from '#contracts/record.ts';

import { ALLOW_ALL, startWorld, type World } from '../../support/world.ts';

let world: World;
let capability: string;
beforeAll(async () => {
  world = await startWorld();
  await world.activate(ALLOW_ALL);
  const exp = Math.floor(Date.now() / 1000) + 3600;
  capability = await world.mint([
    { t: 'agent_lock', agent: 'shop-agent' },
    { t: 'tool_allow', tools: ['lookup_order', 'refund_order', 'missing_tool'] },
    { t: 'exp', exp },
  ]);
});
afterAll(() => world.close());

const verdictOf = (answer: WorkerAnswer) =>
  answer.kind === 'decided'
    ? `${answer.body.verdict} ${answer.body.reason.code}`
    : answer.kind === 'refused'
      ? `refused ${answer.code}`
      : answer.kind;

async function stored(answer: WorkerAnswer) {
  if (answer.kind !== 'decided') throw new Error(`not decided: ${verdictOf(answer)}`);
  const message = await world.operator.jsm.streams.getMessage('DECISIONS', {
    seq: answer.position.sequence,
  });
  if (message === null) throw new Error('no such message');
  const record = decodeRecords(message.string())[answer.position.index];
  if (record === undefined) throw new Error('no such record');
  return { leaf: JSON.parse(record.leaf), payload: JSON.parse(record.payload), lines: record };
}

describe('one call', () => {
  it('is allowed when all five checks pass, and stands in the stream before the answer', async () => {
    const answer = await world.ask({ capability, args: { order_id: 'o-1' } });
    expect(verdictOf(answer)).toBe('allow policy.allowed');
    const { leaf, payload, lines } = await stored(answer);
    expect(leaf).toMatchObject({
      tenant: 'acme',
      agent: 'shop-agent',
      tool: 'lookup_order',
      upstream: 'shop',
      verdict: 'allow',
      durability: 'power-cut',
    });
    expect(canonical(leaf)).toBe(lines.leaf);
    expect(canonical(payload)).toBe(lines.payload);
    expect(payload.sections.input.call.arguments).toEqual({ order_id: 'o-1' });
  });

  it('names no person and no argument in its leaf', async () => {
    const { lines } = await stored(
      await world.ask({ capability, args: { order_id: 'secret-order' } }),
    );
    expect(lines.leaf).not.toMatch(/alice|secret-order/);
  });

  it('commits to every section of the payload', async () => {
    const { leaf, payload } = await stored(await world.ask({ capability }));
    for (const [name, section] of Object.entries(payload.sections)) {
      expect(leaf.commitments[name]).toBe(
        commitment(payload.salts[name], name, canonical(section as never)),
      );
    }
    const args = canonical(payload.sections.input.call.arguments);
    expect(leaf.commitments.arguments).toBe(commitment(payload.salts.arguments, 'arguments', args));
  });
});

describe('the first check that does not pass is the decision', () => {
  const cases: [
    name: string,
    call: () => Promise<Parameters<World['ask']>[0]>,
    expected: string,
  ][] = [
    ['no JWT', async () => ({ identity: 'not.a.jwt', capability }), 'refused identity.malformed'],
    [
      'expired identity',
      async () => ({ identity: await world.identity({ expiresIn: '-1m' }), capability }),
      'refused identity.expired',
    ],
    [
      'foreign tenant claim',
      async () => ({ identity: await world.identity({ claims: { tenant: 'other' } }), capability }),
      'refused identity.claims',
    ],
    [
      'unregistered agent',
      async () => ({ identity: await world.identity({ act: { sub: 'stranger' } }), capability }),
      'block identity.unknown_agent',
    ],
    ['no capability and no standing grant', async () => ({}), 'block capability.missing'],
    ['broken capability', async () => ({ capability: '!!' }), 'block capability.malformed'],
    [
      'tool that the capability does not cover',
      async () => ({ capability: await world.mint([{ t: 'tool_allow', tools: ['other'] }]) }),
      'block capability.tool_not_covered',
    ],
    [
      'capability of another agent',
      async () => ({ capability: await world.mint([], 'other-agent') }),
      'block capability.wrong_agent',
    ],
    [
      'forbidden by the declared purpose',
      async () => ({ capability, intent: { purpose: 'p', forbidden_tools: ['lookup_order'] } }),
      'block intent.tool_forbidden',
    ],
    [
      'not among the allowed of the purpose',
      async () => ({ capability, intent: { purpose: 'p', allowed_tools: ['refund_order'] } }),
      'block intent.tool_not_allowed',
    ],
    ['unknown tool', async () => ({ capability, tool: 'missing_tool' }), 'block tool.unknown'],
    [
      'arguments that do not fit the schema',
      async () => ({ capability, tool: 'refund_order', args: { order_id: 'o', amount: null } }),
      'block tool.arguments',
    ],
    [
      'a revision that never comes',
      async () => ({ capability, min_revision: 'rzz-zzz' as never }),
      'refused service.behind',
    ],
  ];
  it.each(cases)('%s', async (_name, call, expected) => {
    expect(verdictOf(await world.ask(await call()))).toBe(expected);
  });
});

describe('budget', () => {
  it('admits exactly the cap of racing calls and refunds the rest', async () => {
    await world.put(CONTROL_KEYS.budgets(world.tenant), {
      ceilings: [{ scope: 'agent', window: 'month', calls: 20 }],
    });
    const answers = await Promise.all(Array.from({ length: 60 }, () => world.ask({ capability })));
    const verdicts = answers.map(verdictOf);
    expect(verdicts.filter((v) => v === 'allow policy.allowed')).toHaveLength(20);
    expect(verdicts.filter((v) => v === 'block budget.exhausted')).toHaveLength(40);
    await world.put(CONTROL_KEYS.budgets(world.tenant), { ceilings: [] });
  });

  it('counts the calls of a capability, and of its parent through a narrowed one', async () => {
    const exp = Math.floor(Date.now() / 1000) + 3600;
    const limited = await world.mint([
      { t: 'exp', exp },
      { t: 'max_calls', max_calls: 2 },
    ]);
    const verdicts = [];
    for (let n = 0; n < 3; n += 1)
      verdicts.push(verdictOf(await world.ask({ capability: limited })));
    expect(verdicts).toEqual([
      'allow policy.allowed',
      'allow policy.allowed',
      'block budget.capability_exhausted',
    ]);
  });
});

describe('call_id', () => {
  it('gives the same answer again and refuses another call under it', async () => {
    const first = await world.ask({ capability, call_id: 'c-1', args: { order_id: '1' } });
    const again = await world.ask({ capability, call_id: 'c-1', args: { order_id: '1' } });
    const other = await world.ask({ capability, call_id: 'c-1', args: { order_id: '2' } });
    if (first.kind !== 'decided' || again.kind !== 'decided') throw new Error('not decided');
    expect(again.body).toEqual(first.body);
    expect([first.repeated, again.repeated]).toEqual([false, true]);
    expect(verdictOf(other)).toBe('block call.conflict');
  });
});
