// A sub-agent never gets more than who delegated to it, along random trees of delegation: by narrowed capabilities, and
// by standing grants.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { attenuate, mintCapability, verifyCapability } from '#contracts/capability.ts';
import { judgeCaveats } from '#contracts/capability/judge.ts';
import type { Agent, StandingGrant } from '#contracts/control.ts';
import type { TenantId } from '#contracts/ids.ts';
import { anyCall, anyCaveat, CLAIMS } from '#test/support/random-capability.ts';
import { runs, runsTimeout } from '#test/support/runs.ts';

import {
  capabilityCheck,
  heldOf,
  standingGrant,
} from '../../../services/decision-worker/checks/capability.ts';
import type { Call, Principal } from '../../../services/decision-worker/decide.ts';

const TENANT = 'demo' as TenantId;
const AUDIENCE = 'gateway';

const grants: fc.Arbitrary<StandingGrant> = fc.record(
  {
    tools: fc.subarray(['read_*', 'read_a', 'write_a', 'shop.*', '*'], { minLength: 1 }),
    forbidden_tools: fc.subarray(['read_b', 'write_*']),
    upstreams: fc.subarray<string>(['crm', 'shop']),
    expires_at: fc.integer({ min: 1_700_000_000, max: 1_700_000_100 }),
  },
  { requiredKeys: ['tools'], noNullPrototype: true },
);
/** Agents by name; one without a grant has no authority of its own. */
const registry = fc.dictionary(
  fc.constantFrom('agent-a', 'agent-b', 'agent-c'),
  fc.option(grants, { nil: undefined }),
);
/** Outermost first: the caller, then who delegated to it. */
const chains = fc.shuffledSubarray(['agent-a', 'agent-b', 'agent-c'], { minLength: 1 });

type Registry = Readonly<Record<string, StandingGrant | undefined>>;

const agentOf =
  (known: Registry) =>
  (_: TenantId, id: string): Agent | undefined => {
    if (!Object.hasOwn(known, id)) return undefined;
    const grant = known[id];
    return grant === undefined ? {} : { grant };
  };

const principal = (actors: readonly string[], known: Registry) => ({
  agent: actors[0] ?? '',
  actors,
  registered: agentOf(known)(TENANT, actors[0] ?? '') ?? {},
});

describe('a chain of standing grants', () => {
  it(
    'allows what each of its actors may do alone, and nothing else',
    () => {
      fc.assert(
        fc.property(registry, chains, anyCall, (known, actors, random) => {
          const allowed = (chain: readonly string[]): boolean => {
            const grant = standingGrant(principal(chain, known), TENANT, agentOf(known));
            const call = { ...random, tenant: TENANT, agent: chain[0] ?? '', actors: chain };
            return grant !== undefined && judgeCaveats(grant, call) === null;
          };
          const alone = actors.every((actor) => allowed([actor]));
          expect(allowed(actors)).toBe(alone);
        }),
        runs(3_000),
      );
    },
    runsTimeout(3_000),
  );

  const grant = { tools: ['*'] };
  const cases: [name: string, actors: string[], known: Registry, tools: string[]][] = [
    ['one agent', ['a'], { a: grant }, ['*']],
    ['a parent that may less', ['a', 'b'], { a: grant, b: { tools: ['read'] } }, ['*', 'read']],
    ['a parent without a grant', ['a', 'b'], { a: grant, b: undefined }, []],
    ['a parent that nobody registered', ['a', 'b'], { a: grant }, []],
    ['a parent far up', ['a', 'b', 'c'], { a: grant, b: grant, c: undefined }, []],
    ['a caller without a grant', ['a', 'b'], { a: undefined, b: grant }, []],
    ['an agent that delegated to itself', ['a', 'a'], { a: grant }, ['*']],
  ];
  it.each(cases)('%s', (_, actors, known, tools) => {
    const standing = standingGrant(principal(actors, known), TENANT, agentOf(known));
    const found = (standing?.caveats ?? []).flatMap((one) =>
      one.t === 'tool_allow' ? one.tools : [],
    );
    expect(found).toEqual(tools);
  });
});

describe('a capability handed down', () => {
  const KEY = new Uint8Array(32).fill(9);
  const opened = (token: string) => {
    const verified = verifyCapability(token, [KEY]);
    if (!verified.ok) throw new Error(verified.code);
    return { ...verified.capability, held: heldOf(verified.capability, 'token') };
  };
  const check = capabilityCheck({
    open: async (_, token) => opened(token),
    audience: AUDIENCE,
    agent: () => undefined,
    revoked: () => false,
    engaged: () => false,
  });
  /** How the whole check ends for one who holds the token, called in this chain. */
  const allows = async (token: string, actors: readonly string[], random: Random) => {
    const { tool, upstream, arguments: args, task, sender, nowMs } = random;
    const call = {
      envelope: { capability: token, tool, task_id: task },
      tenant: TENANT,
      arguments: args,
      at: nowMs,
      tool: { upstream },
      trace: [],
    } as unknown as Call;
    const by = {
      ...principal(actors, {}),
      person: '',
      workflow: '',
      session: '',
      task: '',
      sender,
    } as unknown as Principal;
    return (await check(call, by)).ok;
  };
  type Random = typeof anyCall extends fc.Arbitrary<infer T> ? T : never;

  it(
    'never allows a child, in any depth and whoever holds it, what it refuses its parent',
    async () => {
      const levels = fc.array(fc.array(anyCaveat, { maxLength: 2 }), {
        minLength: 1,
        maxLength: 4,
      });
      await fc.assert(
        fc.asyncProperty(
          fc.array(anyCaveat, { maxLength: 2 }),
          levels,
          anyCall,
          async (...given) => {
            const [root, each, random] = given;
            let token = mintCapability({ claims: CLAIMS, caveats: root }, KEY);
            const holders = ['agent-a'];
            let parent = await allows(token, holders, random);
            for (const [depth, caveats] of each.entries()) {
              token = attenuate(token, caveats);
              holders.unshift(`sub-${depth}`);
              // Whom it was handed to calls, for all who did; `actor` caveats name the caller, so the parent is asked with it.
              const child = await allows(token, holders, random);
              const asParent = await allows(token, holders.slice(1), random);
              if (!parent) expect(asParent).toBe(false);
              if (!parent && !root.some(isActor) && !each.flat().some(isActor)) {
                expect(child).toBe(false);
              }
              parent = asParent;
            }
          },
        ),
        runs(1_000),
      );
    },
    runsTimeout(1_000),
  );

  const isActor = ({ t }: { t: string }) => t === 'actor';

  it('is nothing to one whom no actor of its chain gave it', async () => {
    const token = mintCapability({ claims: CLAIMS, caveats: [] }, KEY);
    const call = { tool: 'read_a', nowMs: 1_700_000_050_000 } as Random;
    expect([
      await allows(token, ['agent-a'], call),
      await allows(token, ['sub', 'agent-a'], call),
      await allows(token, ['sub'], call),
      await allows(token, ['sub', 'agent-b'], call),
    ]).toEqual([true, true, false, false]);
  });

  const read = { tools: ['read_a'] };
  const own: [name: string, actors: string[], known: Registry, ok: boolean][] = [
    ['alone', ['agent-a'], {}, true],
    ['of the first of the chain, handed down', ['sub', 'agent-a'], {}, true],
    ['for whom somebody delegated to who may do it', ['agent-a', 'lead'], { lead: read }, true],
    [
      'for whom somebody delegated to who may less',
      ['agent-a', 'lead'],
      { lead: { tools: ['read_b'] } },
      false,
    ],
    [
      'for whom somebody delegated to who has no grant',
      ['agent-a', 'lead'],
      { lead: undefined },
      false,
    ],
    ['for whom a stranger delegated to', ['agent-a', 'lead'], {}, false],
    [
      'below one who may less, far up',
      ['sub', 'agent-a', 'lead', 'chief'],
      { lead: read, chief: { tools: ['*'], forbidden_tools: ['read_a'] } },
      false,
    ],
  ];
  it.each(own)('a capability of one %s', async (_, actors, known, ok) => {
    const held = capabilityCheck({
      open: async (__, token) => opened(token),
      audience: AUDIENCE,
      agent: agentOf(known),
      revoked: () => false,
      engaged: () => false,
    });
    const token = mintCapability(
      { claims: CLAIMS, caveats: [{ t: 'tool_allow', tools: ['read_a'] }] },
      KEY,
    );
    const call = {
      envelope: { capability: token, tool: 'read_a' },
      tenant: TENANT,
      arguments: {},
      at: 0,
      tool: { upstream: 'crm' },
      trace: [],
    } as unknown as Call;
    const by = {
      ...principal(actors, known),
      person: '',
      workflow: '',
      session: '',
      task: '',
      sender: {},
    } as unknown as Principal;
    const ended = await held({ ...call, at: (CLAIMS.issuedAt + 1) * 1_000 }, by);
    expect([ended.ok, ended.ok ? '' : ended.detail]).toEqual([ok, expect.any(String)]);
  });
});
