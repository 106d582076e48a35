// Refusals that need a world of their own: each row is one way to be refused, with its stable code.

import { randomUUID } from 'node:crypto';

import { SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { WorkerAnswer } from '#contracts/call.ts';
import type { Caveat } from '#contracts/capability/caveats.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';

import { ALLOW_ALL, startWorld, type World } from '../../support/world.ts';

let world: World;
let open: string;
beforeAll(async () => {
  world = await startWorld();
  await world.activate(ALLOW_ALL);
  open = await world.mint([{ t: 'tool_allow', tools: ['*'] }]);
});
afterAll(() => world.close());

type Question = Parameters<World['ask']>[0];
const codeOf = (answer: WorkerAnswer) =>
  answer.kind === 'decided'
    ? answer.body.reason.code
    : answer.kind === 'refused'
      ? answer.code
      : 'visible';
const ask = async (question: Question) =>
  codeOf(await world.ask({ capability: open, ...question }));

describe('an identity', () => {
  const secret = new TextEncoder().encode('a shared secret that is long enough for HS256');
  const shared = () =>
    new SignJWT({ tenant: 'acme' })
      .setProtectedHeader({ alg: 'HS256' })
      .setIssuer('https://idp.example')
      .setAudience('countersign')
      .setSubject('shop-agent')
      .setExpirationTime('1h')
      .sign(secret);
  const deep = (depth: number): object =>
    depth === 1 ? { sub: 'shop-agent' } : { sub: 'shop-agent', act: deep(depth - 1) };

  const cases: [name: string, identity: () => Promise<string>, expected: string][] = [
    ['signed with a shared secret', shared, 'identity.algorithm'],
    [
      'not valid yet',
      () => world.identity({ claims: { nbf: Math.floor(Date.now() / 1000) + 600 } }),
      'identity.not_yet_valid',
    ],
    ['for another audience', () => world.identity({ audience: 'elsewhere' }), 'identity.audience'],
    [
      'with a broken signature',
      async () => `${(await world.identity()).slice(0, -6)}AAAAAA`,
      'identity.signature',
    ],
    ['with nine actors', () => world.identity({ act: deep(9) }), 'identity.actor_chain'],
    [
      'of an issuer nobody registered',
      async () => `e30.${Buffer.from('{"iss":"https://unknown"}').toString('base64url')}.e30`,
      'identity.unknown_issuer',
    ],
  ];
  it.each(cases)('%s is refused', async (_name, identity, expected) => {
    expect(await ask({ identity: await identity() })).toBe(expected);
  });

  it('of an agent that is registered with another issuer is refused', async () => {
    await world.put(CONTROL_KEYS.agent('acme', 'elsewhere'), { issuer: 'another' });
    const identity = await world.identity({ act: { sub: 'elsewhere' } });
    await expect.poll(() => ask({ identity })).toBe('identity.agent_issuer');
  });

  it('is refused from the moment its agent is unregistered, also when its token was known', async () => {
    await world.put(CONTROL_KEYS.agent('acme', 'leaving'), { grant: { tools: ['*'] } });
    const identity = await world.identity({ act: { sub: 'leaving' } });
    await expect.poll(() => ask({ identity, capability: '' })).toBe('policy.allowed');
    await world.put(CONTROL_KEYS.agent('acme', 'leaving'), null);
    await expect.poll(() => ask({ identity, capability: '' })).toBe('identity.unknown_agent');
  });
});

describe('a capability', () => {
  const soon = Math.floor(Date.now() / 1000) + 3_600;
  const cases: [name: string, caveats: Caveat[], question: Question, expected: string][] = [
    ['that has expired', [{ t: 'exp', exp: soon - 7_200 }], {}, 'capability.expired'],
    ['that is not valid yet', [{ t: 'nbf', nbf: soon }], {}, 'capability.not_yet_valid'],
    [
      'that counts calls without an end',
      [{ t: 'max_calls', max_calls: 3 }],
      {},
      'capability.calls_need_expiry',
    ],
    [
      'for another upstream',
      [{ t: 'upstream', upstreams: ['bank'] }],
      {},
      'capability.upstream_not_covered',
    ],
    ['for another tenant', [{ t: 'tenant', tenant: 'other' }], {}, 'capability.wrong_tenant'],
    ['for another task', [{ t: 'task', task: 't-1' }], { task_id: 't-2' }, 'capability.wrong_task'],
    [
      'for another audience',
      [{ t: 'audience', audience: 'elsewhere' }],
      {},
      'capability.wrong_audience',
    ],
    [
      'for other arguments',
      [{ t: 'args', path: '/order_id', equals: 'o-1' }],
      { args: { order_id: 'o-2' } },
      'capability.arguments_not_covered',
    ],
    [
      'that forbids the tool',
      [{ t: 'tool_deny', tools: ['lookup_*'] }],
      {},
      'capability.tool_forbidden',
    ],
    [
      'with a caveat that nobody enforces',
      [{ t: 'risk_max', risk_max: 5 }],
      {},
      'capability.unenforceable',
    ],
    [
      'that its sender must prove',
      [{ t: 'sender', jkt: 'A'.repeat(43) }],
      {},
      'capability.wrong_sender',
    ],
  ];
  it.each(cases)('%s is refused', async (_name, caveats, question, expected) => {
    expect(await ask({ ...question, capability: await world.mint(caveats) })).toBe(expected);
  });

  it('whose root was not minted here is refused, however well it is signed', async () => {
    const capability = await world.mint([{ t: 'tool_allow', tools: ['*'] }], 'shop-agent', {
      known: false,
    });
    expect(await ask({ capability })).toBe('capability.unknown_root');
  });
});

describe('an intent', () => {
  const settings = (intent: object) => world.put(CONTROL_KEYS.tenant('acme'), { intent });
  afterAll(() => world.put(CONTROL_KEYS.tenant('acme'), {}));

  it('is asked for where the tenant requires one', async () => {
    await settings({ required: true });
    await expect.poll(() => ask({})).toBe('intent.missing');
    expect(await ask({ intent: { purpose: 'look up an order' } })).toBe('policy.allowed');
  });

  it('declared by the agent itself is refused where the tenant does not accept it', async () => {
    await settings({ self_declared: false });
    await expect.poll(() => ask({ intent: { purpose: 'p' } })).toBe('intent.self_declared');
  });
});

describe('a tool', () => {
  it('of a name that two upstreams have is refused until one is named', async () => {
    await world.put(CONTROL_KEYS.tool('acme', 'bank', 'lookup_order'), {
      name: 'lookup_order',
      upstream: 'bank',
    });
    await expect.poll(() => ask({})).toBe('tool.ambiguous');
    expect(await ask({ upstream: 'shop' })).toBe('policy.allowed');
    await world.put(CONTROL_KEYS.tool('acme', 'bank', 'lookup_order'), null);
    await expect.poll(() => ask({})).toBe('policy.allowed');
  });
});

describe('a call_id', () => {
  it('whose first call never ended is never judged again', async () => {
    const calls = await world.operator.bucket('calls');
    await ask({ call_id: 'lost' });
    const keys = [];
    for await (const key of await calls.keys()) keys.push(key);
    // As a worker that died between claim and answer leaves it.
    for (const key of keys) {
      const claim = (await calls.get(key))?.json<{ keeper: string; deadline: number }>();
      const died = { keeper: randomUUID(), deadline: Date.now() - 1 };
      await calls.put(key, JSON.stringify({ ...claim, ...died }));
    }
    expect(await ask({ call_id: 'lost' })).toBe('call.unknown');
    expect(await ask({ call_id: 'lost' })).toBe('call.unknown');
  });
});

// Last, for they break the world.
describe('what a check needs and cannot have', () => {
  it('a tenant without a policy is refused', async () => {
    await world.put(CONTROL_KEYS.policy('acme'), null);
    await expect.poll(() => ask({})).toBe('policy.none');
    await world.activate(ALLOW_ALL);
    await expect.poll(() => ask({})).toBe('policy.allowed');
  });

  it('counters that are gone refuse, and so do claims and roots', async () => {
    await world.put(CONTROL_KEYS.budgets('acme'), {
      ceilings: [{ scope: 'tenant', window: 'hour', calls: 100 }],
    });
    await world.operator.jsm.streams.delete('COUNT_HOUR');
    await expect.poll(() => ask({})).toBe('budget.unavailable');
    await world.put(CONTROL_KEYS.budgets('acme'), { ceilings: [] });
    await expect.poll(() => ask({})).toBe('policy.allowed');

    await world.operator.jsm.streams.delete('KV_calls');
    expect(await ask({ call_id: 'x' })).toBe('call.unavailable');

    const fresh = await world.mint([{ t: 'tool_allow', tools: ['*'] }]);
    await world.operator.jsm.streams.delete('KV_keyed');
    expect(await ask({ capability: fresh })).toBe('capability.unavailable');
    expect(await ask({})).toBe('policy.allowed');
  });
});
