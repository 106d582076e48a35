// Idempotency: whose answer a call_id stands for, and what of it is judged anew.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { WorkerAnswer } from '#contracts/call.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';

import { ALLOW_ALL, startWorld, type World } from '../../support/world.ts';

const HOLDS = `package countersign.policy
default decision := {"verdict": "allow"}
decision := {"verdict": "escalate"} if input.call.arguments.amount > 100
decision := {"verdict": "block"} if input.principal.on_behalf_of == "mallory@example.com"
`;

let world: World;
let capability: string;
beforeAll(async () => {
  world = await startWorld({ workers: 0 });
  await world.activate(HOLDS);
  await world.startWorker();
  await world.startWorker();
  capability = await world.mint([{ t: 'tool_allow', tools: ['*'] }]);
});
afterAll(() => world.close());

type Question = Parameters<World['ask']>[0];
const ask = (question: Question) => world.ask({ capability, ...question });
const told = (answer: WorkerAnswer) => {
  if (answer.kind === 'refused') return `refused ${answer.code}`;
  if (answer.kind !== 'decided') return answer.kind;
  const again = answer.repeated ? ' again' : '';
  return `${answer.body.verdict} ${answer.body.reason.code}${again}`;
};
/** Waits until both workers answer like this: a change reaches each in its own time. */
const both = (question: Question, expected: string) =>
  expect
    .poll(
      async () => {
        const answers = await Promise.all(Array.from({ length: 12 }, () => ask(question)));
        return [...new Set(answers.map(told))];
      },
      { timeout: 10_000 },
    )
    .toEqual([expected]);
const decisions = async () => {
  const { state } = await world.operator.jsm.streams.info('DECISIONS');
  return state.messages;
};

describe('a call_id', () => {
  it('of one person is no answer for another whom the same agent serves', async () => {
    const alice = await world.identity();
    const mallory = await world.identity({ sub: 'mallory@example.com' });
    const same = { call_id: 'shared', args: { order_id: 'o-1' } };
    expect(told(await ask({ ...same, identity: alice }))).toBe('allow policy.allowed');
    expect(told(await ask({ ...same, identity: mallory }))).toBe('block call.conflict');
    expect(told(await ask({ ...same, identity: alice }))).toBe('allow policy.allowed again');
  });

  it('that races is judged once, by one worker', async () => {
    const before = await decisions();
    const racing = Array.from({ length: 40 }, () => ask({ call_id: 'race' }));
    const answers = (await Promise.all(racing)).map(told);
    expect(answers.filter((answer) => answer === 'allow policy.allowed')).toHaveLength(1);
    const others = new Set(answers.filter((answer) => answer !== 'allow policy.allowed'));
    others.delete('allow policy.allowed again');
    others.delete('refused call.in_progress');
    expect([...others]).toEqual([]);
    expect((await decisions()) - before).toBe(1);
  });

  it('of a held call is judged anew each time, by one worker, and its allow is then the answer', async () => {
    const held = { call_id: 'held', tool: 'refund_order', args: { order_id: 'o', amount: 500 } };
    expect(told(await ask(held))).toBe('escalate policy.needs_approval');
    expect(told(await ask(held))).toBe('escalate policy.needs_approval');
    await world.activate(ALLOW_ALL);
    await both({ tool: held.tool, args: held.args }, 'allow policy.allowed');
    const answers = (await Promise.all(Array.from({ length: 20 }, () => ask(held)))).map(told);
    expect(answers.filter((answer) => answer === 'allow policy.allowed')).toHaveLength(1);
    expect(told(await ask(held))).toBe('allow policy.allowed again');
    await world.activate(HOLDS);
    await both({ tool: held.tool, args: held.args }, 'escalate policy.needs_approval');
  });

  it('of a refusal that may pass by itself is judged anew; of another one it is not', async () => {
    const budgets = (calls: number) =>
      world.put(CONTROL_KEYS.budgets(world.tenant), {
        ceilings: [{ scope: 'tenant', window: 'month', calls }],
      });
    await budgets(0);
    await both({}, 'block budget.exhausted');
    const later = { call_id: 'later' };
    expect(told(await ask(later))).toBe('block budget.exhausted');
    await budgets(1_000);
    await both({}, 'allow policy.allowed');
    expect(told(await ask(later))).toBe('allow policy.allowed');

    const mallory = await world.identity({ sub: 'mallory@example.com' });
    const never = { call_id: 'never', identity: mallory };
    expect(told(await ask(never))).toBe('block policy.blocked');
    await world.activate(ALLOW_ALL);
    await both({ identity: mallory }, 'allow policy.allowed');
    expect(told(await ask(never))).toBe('block policy.blocked again');
  });

  it('of a call too large to be recorded is given back', async () => {
    // The input just fits the policies; with what they answer the record is too large.
    await world.put(CONTROL_KEYS.fact(world.tenant, 'a'), 'a'.repeat(250_000));
    await world.put(CONTROL_KEYS.fact(world.tenant, 'b'), 'b'.repeat(200_000));
    const paths = Array.from({ length: 32 }, (_, index) => `/${String(index).padEnd(254, 'p')}`);
    const obligations = Array.from({ length: 16 }, () => ({ type: 'redact', paths }));
    const wordy = `package countersign.policy
decision := {"verdict": "allow", "obligations": ${JSON.stringify(obligations)}}
`;
    await world.activate(wordy, { facts: { a: 'a', b: 'b' } });
    const args = { text: 'x'.repeat(250_000) };
    await both({ args }, 'refused evidence.too_large');
    const large = { call_id: 'large', args };
    expect(told(await ask(large))).toBe('refused evidence.too_large');
    await world.activate(ALLOW_ALL);
    await both({ args }, 'allow policy.allowed');
    expect(told(await ask(large))).toBe('allow policy.allowed');
  });
});
