// What was stopped is refused by a worker from the moment it sees it: whoever holds it, seen before or not.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { WorkerAnswer } from '#contracts/call.ts';
import { attenuate, decodeCapability } from '#contracts/capability.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import { PLATFORM } from '#contracts/ids.ts';
import { revocationIdOf, type RevocationKind, type SwitchScope } from '#contracts/stop.ts';

import { ALLOW_ALL, startWorld, type World } from '../../support/world.ts';

let world: World;
let open: string;
beforeAll(async () => {
  world = await startWorld();
  await world.activate(ALLOW_ALL);
  open = await world.mint([{ t: 'tool_allow', tools: ['*'] }]);
  for (const agent of ['second-agent', 'helper', 'planner']) {
    await world.put(CONTROL_KEYS.agent('acme', agent), { grant: { tools: ['*'] } });
  }
});
afterAll(() => world.close());

type Question = Parameters<World['ask']>[0];
const told = (answer: WorkerAnswer): string => {
  if (answer.kind === 'refused') return answer.code;
  if (answer.kind === 'visible') return answer.tools.map(({ reason }) => reason).join(' ');
  if (answer.kind !== 'decided') throw new Error(answer.kind);
  return answer.body.reason.code;
};
const ask = async (question: Question) => told(await world.ask({ capability: open, ...question }));
const eventually = (question: Question, expected: string) =>
  expect.poll(() => ask(question)).toBe(expected);

const revoke = (kind: RevocationKind, id: string) =>
  world.put(CONTROL_KEYS.revocation('acme', kind, id), { kind, id, reason: 'r', by: 'o', at: 1 });

/** The revocation id of a capability's last link. */
function linkOf(capability: string): string {
  const decoded = decodeCapability(capability);
  if (!decoded.ok) throw new Error(decoded.code);
  return revocationIdOf(decoded.capability.signature);
}

describe('a revoked capability', () => {
  it('falls with all that was narrowed from it, also what nobody has seen before; its parent stands', async () => {
    const parent = await world.mint([{ t: 'tool_allow', tools: ['*'] }]);
    const child = attenuate(parent, [{ t: 'tool_allow', tools: ['lookup_*'] }]);
    const sibling = attenuate(parent, [{ t: 'tool_allow', tools: ['lookup_order'] }]);
    const seen = attenuate(child, [{ t: 'upstream', upstreams: ['shop'] }]);
    for (const capability of [parent, child, sibling, seen])
      expect(await ask({ capability })).toBe('policy.allowed');
    await revoke('capability', linkOf(child));
    await eventually({ capability: child }, 'capability.revoked');
    const unseen = attenuate(seen, [{ t: 'exp', exp: Math.floor(Date.now() / 1000) + 60 }]);
    const codes = await Promise.all(
      [seen, unseen, parent, sibling].map((capability) => ask({ capability })),
    );
    expect(codes).toEqual([
      'capability.revoked',
      'capability.revoked',
      'policy.allowed',
      'policy.allowed',
    ]);
  });

  it('falls by its id, too, and hides every tool', async () => {
    const capability = await world.mint([{ t: 'tool_allow', tools: ['*'] }]);
    const decoded = decodeCapability(capability);
    expect(await ask({ capability, ask: 'visible', upstream: 'shop' })).toBe(' ');
    await revoke('capability', decoded.ok ? decoded.capability.claims.jti : '');
    await eventually({ capability }, 'capability.revoked');
    expect(await ask({ capability, ask: 'visible', upstream: 'shop' })).toBe(
      'capability.revoked capability.revoked',
    );
  });

  it('stays revoked for a worker that starts later, also when the stream of changes holds nothing any more', async () => {
    const capability = await world.mint([{ t: 'tool_allow', tools: ['*'] }]);
    const decoded = decodeCapability(capability);
    await revoke('capability', decoded.ok ? decoded.capability.claims.jti : '');
    await eventually({ capability }, 'capability.revoked');
    await world.operator.jsm.streams.purge('CONTROL');
    const later = await world.startWorker();
    const answers = await Promise.all(Array.from({ length: 40 }, () => ask({ capability })));
    expect(new Set(answers)).toEqual(new Set(['capability.revoked']));
    await later.stop();
  });

  it('has no stored answer given again', async () => {
    const capability = await world.mint([{ t: 'tool_allow', tools: ['*'] }]);
    const question = { capability, call_id: 'before' };
    const answers = [await world.ask(question), await world.ask(question)];
    expect(answers).toMatchObject([{ repeated: false }, { repeated: true }]);
    await revoke('capability', linkOf(capability));
    await eventually({ capability }, 'capability.revoked');
    expect(await world.ask(question)).toMatchObject({
      repeated: false,
      body: { verdict: 'block', reason: { code: 'capability.revoked' } },
    });
  });
});

describe('a revoked caller', () => {
  it('person is refused with each agent, by capability and by standing grant', async () => {
    const person = { sub: 'leaver@example.com' };
    const first = { identity: await world.identity(person) };
    const second = {
      identity: await world.identity({ ...person, act: { sub: 'second-agent' } }),
      capability: '',
    };
    await eventually(second, 'policy.allowed');
    expect(await ask(first)).toBe('policy.allowed');
    await revoke('person', person.sub);
    await eventually(first, 'capability.revoked');
    expect(await ask(second)).toBe('capability.revoked');
    expect(await ask({ ...second, ask: 'visible', upstream: 'shop' })).toBe(
      'capability.revoked capability.revoked',
    );
    expect(await ask({})).toBe('policy.allowed');
  });

  const CASES: readonly (readonly [
    kind: RevocationKind,
    id: string,
    identity: Parameters<World['identity']>[0],
    question: Question,
  ])[] = [
    ['workflow', 'refunds', { claims: { workflow: 'refunds' } }, {}],
    ['task', 't-1', { claims: { task_id: 't-1' } }, {}],
    ['task', 't-2', {}, { task_id: 't-2' }],
    ['agent', 'second-agent', { act: { sub: 'second-agent' } }, { capability: '' }],
    ['agent', 'planner', { act: { sub: 'helper', act: { sub: 'planner' } } }, { capability: '' }],
  ];
  it.each(CASES)('%s %s is refused', async (kind, id, who, question) => {
    const asked = { ...question, identity: await world.identity(who) };
    await eventually(asked, 'policy.allowed');
    await revoke(kind, id);
    await eventually(asked, 'capability.revoked');
    expect(await ask({})).toBe('policy.allowed');
  });
});

describe('a kill switch', () => {
  const engage = (scope: SwitchScope, id: string, tenant: string) =>
    world.put(CONTROL_KEYS.switch(tenant, scope, id), { scope, id, by: 'o', reason: 'r', at: 1 });
  const CASES: readonly (readonly [
    scope: SwitchScope,
    id: string,
    others: Parameters<World['identity']>[0] | 'nobody',
    question: Question,
  ])[] = [
    ['global', '', 'nobody', {}],
    ['tenant', '', 'nobody', {}],
    ['agent', 'shop-agent', { act: { sub: 'helper' } }, { capability: '' }],
    ['tool', 'lookup_order', {}, { tool: 'refund_order', args: { order_id: 'o', amount: 1 } }],
    ['upstream', 'shop', 'nobody', {}],
    ['person', 'alice@example.com', { sub: 'bob@example.com' }, {}],
    ['workflow', 'w', {}, {}],
    ['session', 's', {}, { session_id: 'another' }],
  ];
  it.each(CASES)(
    'for %s "%s" stops it and what is in it, until it is released',
    async (scope, id, others, question) => {
      const stopped = {
        identity: await world.identity({ claims: { workflow: 'w' } }),
        session_id: 's',
      };
      const tenant = scope === 'global' ? PLATFORM : world.tenant;
      expect(await ask(stopped)).toBe('policy.allowed');
      await engage(scope, id, tenant);
      await eventually(stopped, 'capability.killed');
      if (others !== 'nobody') {
        const free = { ...question, identity: await world.identity(others) };
        expect(await ask(free)).toBe('policy.allowed');
      }
      const seen = await ask({ ...stopped, ask: 'visible', upstream: 'shop' });
      expect(seen).toBe(
        scope === 'tool' ? 'capability.killed ' : 'capability.killed capability.killed',
      );
      await world.put(CONTROL_KEYS.switch(tenant, scope, id), null);
      await eventually(stopped, 'policy.allowed');
    },
  );

  it('is told before whatever is wrong with the capability, and its scope to the operator alone', async () => {
    await engage('agent', 'shop-agent', world.tenant);
    await eventually({ capability: 'not a capability' }, 'capability.killed');
    const answer = await world.ask({ capability: open });
    expect(JSON.stringify(answer)).not.toContain('kill switch');
    const { state } = await world.operator.jsm.streams.info('DECISIONS');
    const message = await world.operator.jsm.streams.getMessage('DECISIONS', {
      seq: state.last_seq,
    });
    expect(message?.string()).toContain('kill switch: agent');
    await world.put(CONTROL_KEYS.switch('acme', 'agent', 'shop-agent'), null);
    await eventually({}, 'policy.allowed');
  });
});
