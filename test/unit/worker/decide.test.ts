// The order of the checks, and that nothing but five passes is an allow.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { modeLifts } from '#contracts/mode.ts';
import { type Reason, REASONS, reasonSpec } from '#contracts/reasons.ts';
import { runs } from '#test/support/runs.ts';

import {
  block,
  type Call,
  type Checks,
  decide,
  type Lift,
  pass,
} from '../../../services/decision-worker/decide.ts';
import { guarded } from '../../../services/decision-worker/guard.ts';

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

/** Nothing is lifted. */
const STANDS = () => '';

describe('decide', () => {
  it('allows when all five pass, in the order of the spec', async () => {
    const ran: Name[] = [];
    const outcome = await decide(call(), checks(ran), STANDS);
    expect([outcome.verdict, outcome.reason, ran]).toEqual(['allow', 'policy.allowed', ORDER]);
  });

  it.each(ORDER)('ends at %s when it does not pass, and runs nothing after it', async (name) => {
    const ran: Name[] = [];
    const refusal = block('capability.expired', 'detail');
    const outcome = await decide(
      call(),
      checks(ran, name, () => refusal),
      STANDS,
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
      STANDS,
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
  const tally = { add: () => undefined, at: () => () => undefined };
  const silent = {
    runs: tally,
    seconds: tally,
    failures: tally,
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
    const outcome = await decide(asked, guarded(broken, silent), STANDS);
    expect([outcome.verdict, outcome.reason]).toEqual(['block', code]);
    expect(asked.trace.at(-1)).toMatchObject({ check: name, ok: false, reason: code });
  });
});

describe('decide with a refusal that is lifted', () => {
  const found = { name: 'found' } as never;
  const observed: Lift = (_call, _by, reason) => (modeLifts(reason, 'observe') ? 'observe' : '');
  /** Five checks of which some refuse with a code, and leave what they found. */
  const refusing = (ran: Name[], codes: Partial<Record<Name, Reason>>): Checks =>
    Object.fromEntries(
      ORDER.map((name) => [
        name,
        async () => {
          ran.push(name);
          const code = codes[name];
          if (code === undefined) return pass({ name });
          const refusal = block(code, `why ${name}`, found);
          return code === 'policy.needs_approval' ? { ...refusal, verdict: 'escalate' } : refusal;
        },
      ]),
    ) as unknown as Checks;

  const cases: [name: string, codes: Partial<Record<Name, Reason>>, expected: unknown][] = [
    [
      'goes on, and says the first one',
      { capability: 'capability.missing', policy: 'policy.blocked' },
      ['allow', 'capability.missing', ['capability.missing', 'policy.blocked'], ORDER],
    ],
    [
      'asks nobody for an approval',
      { policy: 'policy.needs_approval' },
      ['allow', 'policy.needs_approval', ['policy.needs_approval'], ORDER],
    ],
    [
      'lets what nothing lifts be the decision, though it comes later',
      { intent: 'intent.missing', policy: 'policy.floor' },
      ['block', 'policy.floor', ['intent.missing'], ORDER.slice(0, 4)],
    ],
    [
      'allows what no ceiling has room for',
      { budget: 'budget.exhausted' },
      ['allow', 'budget.exhausted', ['budget.exhausted'], ORDER],
    ],
  ];
  it.each(cases)('%s', async (_name, codes, expected) => {
    const ran: Name[] = [];
    const { verdict, reason, lifted } = await decide(call(), refusing(ran, codes), observed);
    expect([verdict, reason, lifted.map((one) => one.reason), ran]).toEqual(expected);
  });

  it('never allows past a reason that nothing may lift, at whichever check and behind whatever', () => {
    const codes = Object.keys(REASONS) as Reason[];
    const code = (check: Name) =>
      fc.option(fc.constantFrom(...codes.filter((one) => reasonSpec(one).check === check)), {
        nil: undefined,
      });
    const some = fc.record(
      Object.fromEntries(ORDER.map((name) => [name, code(name)])) as Record<
        Name,
        ReturnType<typeof code>
      >,
    );
    return fc.assert(
      fc.asyncProperty(some, async (given) => {
        const codesHere = Object.fromEntries(
          Object.entries(given).filter(([, one]) => one !== undefined),
        ) as Partial<Record<Name, Reason>>;
        const { verdict } = await decide(call(), refusing([], codesHere), observed);
        const stands = Object.values(codesHere).some((one) => !reasonSpec(one).liftable);
        expect(verdict).toBe(stands ? 'block' : 'allow');
      }),
      runs(2_000),
    );
  });
});
