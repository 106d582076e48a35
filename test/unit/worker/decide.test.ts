// The order of the checks, and that nothing but five passes is an allow.

import { describe, expect, it } from 'vitest';

import { REASONS } from '#contracts/reasons.ts';

import {
  block,
  type Call,
  type Checks,
  decide,
  pass,
} from '../../../services/decision-worker/decide.ts';
import { guarded } from '../../../services/decision-worker/guard.ts';
import { applyMode, type Mode } from '../../../services/decision-worker/mode.ts';

const ORDER = ['identity', 'capability', 'intent', 'policy', 'budget'] as const;
type Name = (typeof ORDER)[number];

const call = (): Call => ({ trace: [] }) as unknown as Call;

/** Five checks that note that they ran; the named one does as told. */
function checks(ran: Name[], at?: Name, does?: () => unknown): Checks {
  const one = (name: Name) => async () => {
    ran.push(name);
    if (name === at) return does?.();
    return pass({ name });
  };
  return Object.fromEntries(ORDER.map((name) => [name, one(name)])) as unknown as Checks;
}

describe('decide', () => {
  it('allows when all five pass, in the order of the spec', async () => {
    const ran: Name[] = [];
    const outcome = await decide(call(), checks(ran));
    expect([outcome.verdict, outcome.reason, ran]).toEqual(['allow', 'policy.allowed', ORDER]);
  });

  it.each(ORDER)('ends at %s when it does not pass, and runs nothing after it', async (name) => {
    const ran: Name[] = [];
    const refusal = block('capability.expired', 'detail');
    const outcome = await decide(
      call(),
      checks(ran, name, () => refusal),
    );
    expect([outcome.verdict, outcome.reason, outcome.detail]).toEqual([
      'block',
      'capability.expired',
      'detail',
    ]);
    expect(ran).toEqual(ORDER.slice(0, ORDER.indexOf(name) + 1));
  });

  it('keeps the evidence that there was', async () => {
    const outcome = await decide(
      call(),
      checks([], 'policy', () => block('policy.blocked', '', { found: true } as never)),
    );
    expect(outcome).toMatchObject({
      principal: { name: 'identity' },
      held: { name: 'capability' },
      grant: { found: true },
      reservation: undefined,
    });
  });
});

describe('guard', () => {
  const silent = {
    durations: { record: () => undefined },
    failures: { add: () => undefined },
    onError: () => undefined,
  } as never;

  it.each([
    ['identity', 'identity.unavailable'],
    ['capability', 'capability.unavailable'],
    ['intent', 'intent.unavailable'],
    ['policy', 'policy.unavailable'],
    ['budget', 'budget.unavailable'],
  ] as const)('turns a throw of %s into a block with its own code', async (name, code) => {
    const broken = checks([], name, () => {
      throw new Error('boom');
    });
    const asked = call();
    const outcome = await decide(asked, guarded(broken, silent));
    expect([outcome.verdict, outcome.reason]).toEqual(['block', code]);
    expect(asked.trace.at(-1)).toMatchObject({ check: name, ok: false, reason: code });
  });
});

describe('applyMode', () => {
  const refused = (reason: keyof typeof REASONS, verdict: 'block' | 'escalate' = 'block') =>
    ({ verdict, reason }) as never;
  const cases: [name: string, outcome: never, mode: Mode, expected: string][] = [
    ['enforce lifts nothing', refused('policy.blocked'), 'enforce', 'block'],
    ['observe lifts a policy block', refused('policy.blocked'), 'observe', 'allow'],
    ['observe lifts a hold', refused('policy.needs_approval', 'escalate'), 'observe', 'allow'],
    ['soft-block keeps a block', refused('policy.blocked'), 'soft-block', 'block'],
    [
      'soft-block lifts a hold',
      refused('policy.needs_approval', 'escalate'),
      'soft-block',
      'allow',
    ],
  ];
  it.each(cases)('%s', (_name, outcome, mode, expected) => {
    expect(applyMode(outcome, mode)).toBe(expected);
  });

  it('never lifts identity, revocation, kill, floor, evidence or an unknown tool', () => {
    const never = Object.keys(REASONS).filter((code) =>
      /^(identity|evidence|service|request|tool|facts)\.|revoked|killed|floor|unavailable/.test(
        code,
      ),
    );
    for (const code of never)
      expect(applyMode(refused(code as never), 'observe'), code).toBe('block');
  });
});
