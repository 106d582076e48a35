import fc from 'fast-check';
import { expect, test } from 'vitest';

import type { Change, ChangeEvent } from '#contracts/change.ts';
import { CONTROL_KEYS, type ControlEntry, mintedKey } from '#contracts/control.ts';
import { PLATFORM, type TenantId } from '#contracts/ids.ts';

import { effectsOf, entryAfter } from '../../../services/admin/apply.ts';

const ACME = 'acme' as TenantId;
const digest = `sha256:${'a'.repeat(64)}`;

type State = Map<string, ControlEntry>;

/** What the projector does with an event, over a map instead of a bucket. */
function project(state: State, sequence: number, { tenant, at, change }: ChangeEvent): State {
  for (const [key, next] of effectsOf({ tenant, at, change }).state) {
    const after = entryAfter(state.get(key), next, { sequence, at });
    if (after !== undefined) state.set(key, after);
  }
  return state;
}

const values = (state: State) =>
  Object.fromEntries([...state].map(([key, { value }]) => [key, value]));

const factsChange = (changes: unknown): Change => ({
  kind: 'facts',
  action: 'change',
  target: '',
  value: { changes: changes as never },
});

const revoke = (id: string, by: string): Change => ({
  kind: 'revocation',
  action: 'revoke',
  target: '',
  value: { kind: 'person', id, reason: 'left', by },
});

const kill = (action: 'engage' | 'release', id: string, by: string): Change => ({
  kind: 'switch',
  action,
  target: '',
  value: { scope: 'agent', id, by, reason: 'r' },
});

const CASES: readonly (readonly [
  name: string,
  tenant: TenantId,
  changes: readonly Change[],
  state: Readonly<Record<string, unknown>>,
])[] = [
  [
    'settings',
    ACME,
    [{ kind: 'tenant', action: 'put', target: 'acme', value: { time_zone: 'UTC' } }],
    { 'tenant.acme': { time_zone: 'UTC' } },
  ],
  [
    'an issuer whose id needs an encoding, put and deleted',
    ACME,
    [
      { kind: 'issuer', action: 'put', target: 'a.b', value: { issuer: 'i', audiences: ['x'] } },
      { kind: 'issuer', action: 'delete', target: 'a.b', value: null },
    ],
    { 'issuer.acme.a=2Eb': null },
  ],
  [
    'an agent with a SPIFFE id',
    ACME,
    [{ kind: 'agent', action: 'put', target: 'spiffe://x/y', value: {} }],
    { 'agent.acme.spiffe=3A=2F=2Fx=2Fy': {} },
  ],
  [
    'a tool server',
    ACME,
    [{ kind: 'upstream', action: 'put', target: 'shop', value: { url: 'https://x' } }],
    { 'upstream.acme.shop': { url: 'https://x' } },
  ],
  [
    'tools, one of them taken out',
    ACME,
    [
      { kind: 'tools', action: 'put', target: '', value: { removed: [], tools: [{ name: 'a' }] } },
      {
        kind: 'tools',
        action: 'put',
        target: '',
        value: {
          removed: [{ name: 'a', upstream: '' }],
          tools: [{ name: 'a', upstream: 'shop' }],
        },
      },
    ],
    { 'catalog.acme.=.a': null, 'catalog.acme.shop.a': { name: 'a', upstream: 'shop' } },
  ],
  [
    'a policy, put and activated',
    ACME,
    [
      {
        kind: 'policy',
        action: 'put',
        target: digest,
        value: { name: 'n', role: 'tenant', files: 1, by: 'ada' },
      },
      { kind: 'policy', action: 'activate', target: digest, value: { digest } },
    ],
    {
      [`bundle.acme.${'a'.repeat(64)}`]: { name: 'n', role: 'tenant', files: 1, by: 'ada' },
      'policy.acme': { digest },
    },
  ],
  [
    'ceilings',
    ACME,
    [{ kind: 'budgets', action: 'put', target: 'acme', value: { ceilings: [] } }],
    { 'budget.acme': { ceilings: [] } },
  ],
  [
    'an operator, who belongs to no tenant',
    PLATFORM,
    [
      {
        kind: 'operator',
        action: 'put',
        target: 'ada',
        value: { id: 'ada', name: 'Ada', roles: ['admin'], token_hash: digest },
      },
    ],
    { 'operator.ada': { id: 'ada', name: 'Ada', roles: ['admin'], token_hash: digest } },
  ],
  [
    'a revocation, which keeps who did it first and names no person in its key',
    ACME,
    [revoke('ann@example.com', 'ada'), revoke('ann@example.com', 'olga')],
    {
      'revocation.acme.person.71d4f55f72fa128dfb468a1a39': {
        kind: 'person',
        id: 'ann@example.com',
        reason: 'left',
        by: 'ada',
        at: 1_000,
      },
    },
  ],
  [
    'a kill switch that one person wants released, and another that two released',
    ACME,
    [
      kill('engage', 'a', 'ada'),
      kill('engage', 'b', 'ada'),
      kill('release', 'a', 'olga'),
      kill('release', 'b', 'olga'),
      kill('release', 'b', 'ada'),
    ],
    {
      'switch.acme.agent.ca978112ca1bbdcafac231b39a': {
        scope: 'agent',
        id: 'a',
        by: 'ada',
        reason: 'r',
        at: 1_000,
        release: { by: 'olga', reason: 'r', at: 1_002 },
      },
      'switch.acme.agent.3e23e8160039594a33894f6564': null,
    },
  ],
  [
    'facts in the order of their changes',
    ACME,
    [
      factsChange([
        { op: 'put', key: 'a', value: { x: 1 } },
        { op: 'patch', key: 'a', value: { y: 2, x: null } },
        { op: 'put', key: 'b', value: 0 },
      ]),
      factsChange([
        { op: 'delete', key: 'b' },
        { op: 'patch', key: 'a', value: { z: 3 } },
        { op: 'patch', key: 'c', value: { n: null, m: 1 } },
      ]),
    ],
    { 'fact.acme.a': { y: 2, z: 3 }, 'fact.acme.b': null, 'fact.acme.c': { m: 1 } },
  ],
  [
    'a fact that patches grew too large, which is unknown from then on',
    ACME,
    [
      factsChange([{ op: 'put', key: 'a', value: { x: 'x'.repeat(200_000) } }]),
      factsChange([{ op: 'patch', key: 'a', value: { y: 'y'.repeat(200_000) } }]),
    ],
    { 'fact.acme.a': null },
  ],
];

test.each(CASES)('%s', (_, tenant, changes, expected) => {
  const state: State = new Map();
  for (const [index, change] of changes.entries()) {
    project(state, index + 1, { tenant, at: 1_000 + index, change });
  }
  expect(values(state)).toEqual(expected);
});

test('an entry carries the sequence and time of the event that made it', () => {
  const state = project(new Map(), 7, {
    tenant: ACME,
    at: 5,
    change: { kind: 'agent', action: 'put', target: 'a', value: { class: 'x' } },
  });
  expect(state.get(CONTROL_KEYS.agent(ACME, 'a'))).toEqual({
    sequence: 7,
    at: 5,
    value: { class: 'x' },
  });
});

test('a minted root stands under its own key', () => {
  const minted = { signature_hash: 'h', caveats: 2, agent: 'a', expires_at: 9 };
  const effects = effectsOf({
    tenant: ACME,
    at: 1,
    change: { kind: 'capability', action: 'mint', target: 'jti', value: { minted, terms: {} } },
  });
  expect([...effects.minted, ...effects.state]).toEqual([[mintedKey(ACME, 'jti'), minted]]);
});

const anyFactChange = fc.oneof(
  fc.record({
    op: fc.constantFrom('put', 'patch'),
    key: fc.constantFrom('a', 'b'),
    value: fc.dictionary(fc.constantFrom('x', 'y'), fc.oneof(fc.integer(), fc.constant(null))),
  }),
  fc.record({ op: fc.constant('delete'), key: fc.constantFrom('a', 'b') }),
);
const anyChange: fc.Arbitrary<Change> = fc.oneof(
  fc.array(anyFactChange, { minLength: 1, maxLength: 4 }).map(factsChange),
  fc
    .constantFrom('x', 'y')
    .map((name): Change => ({ kind: 'agent', action: 'put', target: 'a', value: { class: name } })),
  fc.constant<Change>({ kind: 'agent', action: 'delete', target: 'a', value: null }),
);

test('events that come again, in any order after their first time, change nothing', () => {
  const history = fc.array(anyChange, { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(history, fc.infiniteStream(fc.nat()), (changes, choices) => {
      const once: State = new Map();
      const often: State = new Map();
      for (const [index, change] of changes.entries()) {
        const event = (at: number) => ({ tenant: ACME, at, change: changes[at] ?? change });
        project(once, index + 1, event(index));
        project(often, index + 1, event(index));
        // Between two events a second projector works through old ones again, whichever it was given.
        for (let again = 0; again < 3; again += 1) {
          const old = (choices.next().value ?? 0) % (index + 1);
          project(often, old + 1, event(old));
        }
      }
      expect(often).toEqual(once);
    }),
  );
});

test('a crash between any two writes of an event, and the event again, give the same state', () => {
  fc.assert(
    fc.property(fc.array(anyChange, { minLength: 1, maxLength: 8 }), fc.nat(3), (changes, cut) => {
      const whole: State = new Map();
      const broken: State = new Map();
      for (const [index, change] of changes.entries()) {
        const event = { tenant: ACME, at: index, change };
        project(whole, index + 1, event);
        const writes = [...effectsOf(event).state].slice(0, cut);
        for (const [key, next] of writes) {
          const after = entryAfter(broken.get(key), next, { sequence: index + 1, at: index });
          if (after !== undefined) broken.set(key, after);
        }
        project(broken, index + 1, event);
      }
      expect(values(broken)).toEqual(values(whole));
    }),
  );
});
