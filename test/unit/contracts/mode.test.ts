// Rollout modes and exceptions: what they lift, whom a canary share takes, and what a change of mode must wait for.

import { describe, expect, it } from 'vitest';

import { type Excepted, exceptionLifts, type ExceptionOrder } from '#contracts/exception.ts';
import {
  afterLifting,
  type Canary,
  CRITERIA_DEFAULT,
  type Mode,
  modeLifts,
  type ModeMeasured,
  modeOfCall,
  MODES,
  type Refused,
  judged,
  unmet,
} from '#contracts/mode.ts';
import { type Reason, REASONS, reasonSpec } from '#contracts/reasons.ts';

const ALL = Object.keys(REASONS) as Reason[];

describe('modeLifts', () => {
  it('lifts in observe exactly what the table of reasons calls liftable', () => {
    expect(ALL.filter((code) => modeLifts(code, 'observe'))).toEqual([
      'capability.missing',
      'intent.tool_forbidden',
      'intent.tool_not_allowed',
      'intent.missing',
      'intent.self_declared',
      'policy.blocked',
      'policy.needs_approval',
      ...ALL.filter((code) => code.startsWith('budget.') && reasonSpec(code).liftable),
    ]);
  });

  it('keeps an explicit no in soft-block', () => {
    const kept = ALL.filter((code) => modeLifts(code, 'observe') && !modeLifts(code, 'soft-block'));
    expect(kept).toEqual(['intent.tool_forbidden', 'policy.blocked']);
    expect(
      ALL.filter((code) => modeLifts(code, 'soft-block') && !modeLifts(code, 'observe')),
    ).toEqual([]);
  });

  it('lifts nothing in enforce, and in no mode identity, revocation, kill, floor, evidence or a failure', () => {
    const never =
      /^(identity|evidence|service|request|tool|facts|call|approval)\.|revoked|killed|floor|unavailable/;
    for (const code of ALL) {
      expect(modeLifts(code, 'enforce'), code).toBe(false);
      if (never.test(code))
        expect(
          MODES.filter((mode) => modeLifts(code, mode)),
          code,
        ).toEqual([]);
    }
  });
});

describe('afterLifting', () => {
  const no = (reason: Reason): Refused => ({ verdict: 'block', reason });
  const held: Refused = { verdict: 'escalate', reason: 'policy.needs_approval' };
  const cases: [name: string, refusals: Refused[], mode: Mode, expected: object][] = [
    ['no refusal', [], 'observe', { verdict: 'allow', reason: 'policy.allowed', before: 'allow' }],
    ['enforce', [held], 'enforce', { ...held, before: 'escalate' }],
    ['a hold in observe', [held], 'observe', { ...held, verdict: 'allow', before: 'escalate' }],
    [
      'a hold in soft-block',
      [held],
      'soft-block',
      { ...held, verdict: 'allow', before: 'escalate' },
    ],
    [
      'a block in soft-block, behind what is lifted',
      [no('capability.missing'), no('policy.blocked')],
      'soft-block',
      { verdict: 'block', reason: 'policy.blocked', before: 'block' },
    ],
    [
      'the floor in observe, behind what is lifted',
      [no('intent.missing'), no('policy.floor')],
      'observe',
      { verdict: 'block', reason: 'policy.floor', before: 'block' },
    ],
  ];
  it.each(cases)('%s', (_name, refusals, mode, expected) => {
    expect(afterLifting(refusals, ({ reason }) => modeLifts(reason, mode))).toEqual(expected);
  });
});

describe('modeOfCall', () => {
  const share = (canary: Canary | null, mode: Mode = 'observe') => {
    const calls = Array.from({ length: 4_000 }, (_, one) => ({
      tenant: 'acme',
      agent: `agent-${one % 40}`,
      session: `session-${one}`,
    }));
    const modes = calls.map((call) => modeOfCall({ mode, canary, class: 'shop' }, call));
    return new Set(
      calls.flatMap(({ agent, session }, at) =>
        modes[at] === 'enforce' ? [`${agent} ${session}`] : [],
      ),
    );
  };

  it('is the mode of the class without a canary, and enforce where that is the mode', () => {
    expect([share(null).size, share({ percent: 5, by: 'agent' }, 'enforce').size]).toEqual([
      0, 4_000,
    ]);
  });

  it('enforces about the share of the sessions, the same ones each time, and keeps them when it grows', () => {
    const five = share({ percent: 5, by: 'session' });
    expect(five).toEqual(share({ percent: 5, by: 'session' }));
    expect(five.size).toBeGreaterThan(120);
    expect(five.size).toBeLessThan(280);
    const twenty = share({ percent: 20, by: 'session' });
    expect([...five].every((one) => twenty.has(one))).toBe(true);
  });

  it('takes whole agents, also for a call without a session', () => {
    const agents = new Set(
      [...share({ percent: 50, by: 'agent' })].map((one) => one.split(' ')[0]),
    );
    expect(share({ percent: 50, by: 'agent' }).size).toBe(agents.size * 100);
    const call = { tenant: 'acme', agent: [...agents][0] ?? '', session: '' };
    const of = (by: Canary['by']) =>
      modeOfCall({ mode: 'observe', canary: { percent: 50, by }, class: 'shop' }, call);
    expect([of('agent'), of('session')]).toEqual(['enforce', 'enforce']);
  });
});

describe('exceptionLifts', () => {
  const exception: ExceptionOrder = {
    agent: 'shop-agent',
    tool: 'refund_order',
    reason: 'policy.blocked',
    why: 'the rule is too strict',
    expires_at: 1_000,
    by: 'ada',
  };
  const call: Excepted = {
    agent: 'shop-agent',
    agentClass: 'shop',
    tool: 'refund_order',
    reason: 'policy.blocked',
    at: 999,
  };
  const cases: [
    name: string,
    exception: Partial<ExceptionOrder>,
    call: Partial<Excepted>,
    expected: boolean,
  ][] = [
    ['what it names', {}, {}, true],
    ['until its day, not on it', {}, { at: 1_000 }, false],
    ['another agent', {}, { agent: 'other' }, false],
    ['another tool', {}, { tool: 'lookup_order' }, false],
    ['another reason', {}, { reason: 'intent.missing' }, false],
    ['another class', { class: 'hr' }, {}, false],
    ['its class', { class: 'shop' }, {}, true],
    [
      'a reason that nothing may lift',
      { reason: 'policy.floor' },
      { reason: 'policy.floor' },
      false,
    ],
  ];
  it.each(cases)('%s', (_name, change, asked, expected) => {
    expect(exceptionLifts({ ...exception, ...change }, { ...call, ...asked })).toBe(expected);
  });
});

describe('criteria', () => {
  const good: ModeMeasured = { days: 7, decisions: 100, would_block: 1, unreviewed_exceptions: 0 };
  const cases: [name: string, measured: Partial<ModeMeasured>, expected: string[]][] = [
    ['all met, each at its bound', {}, []],
    ['too early', { days: 6.94 }, ['6.9 of 7 days in its mode']],
    ['too little seen', { decisions: 99, would_block: 0 }, ['99 of 100 decisions']],
    ['too much would be blocked', { would_block: 2 }, ['2.00 % would be blocked, at most 1 %']],
    [
      'an exception nobody reviewed',
      { unreviewed_exceptions: 1 },
      ['1 exceptions nobody reviewed, at most 0'],
    ],
    ['no database', { decisions: null, would_block: null }, ['the chain cannot be asked']],
  ];
  it('are shown each with what is now', () => {
    expect(judged(CRITERIA_DEFAULT.enforce, { ...good, days: 3, would_block: null })).toEqual([
      { criterion: 'min_days', required: 7, present: 3, met: false },
      { criterion: 'min_decisions', required: 100, present: 100, met: true },
      { criterion: 'max_would_block_percent', required: 1, present: null, met: false },
      { criterion: 'max_unreviewed_exceptions', required: 0, present: 0, met: true },
    ]);
    const leave = { min_decisions: 50, min_would_block_percent: 10 };
    expect(judged(leave, { ...good, would_block: 9 })).toEqual([
      { criterion: 'min_decisions', required: 50, present: 100, met: true },
      { criterion: 'min_would_block_percent', required: 10, present: 9, met: false },
    ]);
  });
  it.each(cases)('%s', (_name, measured, expected) => {
    expect(unmet(judged(CRITERIA_DEFAULT.enforce, { ...good, ...measured }))).toEqual(expected);
  });
});
