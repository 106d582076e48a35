import { describe, expect, test } from 'vitest';

import { NotReplayable, replayDecision } from '#cli/replay.ts';
import { callHash } from '#contracts/call-hash.ts';
import type { CheckEvidence, DecisionLeaf } from '#contracts/decision.ts';
import { asJson, canonical } from '#contracts/json.ts';
import type { PolicyOutput } from '#contracts/policy.ts';
import { sealPayload, sha256 } from '#contracts/record.ts';
import type { PolicyAnswer } from '#policies/engine/judge.ts';
import { decisionRecord, tenantOf } from '#test/support/records.ts';

const tenant = tenantOf('acme');
const AT = 1_780_000_000_000;

const step = (
  check: CheckEvidence['check'],
  reason: CheckEvidence['reason'] = '',
): CheckEvidence => ({
  check,
  micros: 1,
  ok: reason === '',
  reason,
});
const BEFORE = [step('identity'), step('capability'), step('intent')];
const PASSED = [...BEFORE, step('policy'), step('budget')];
const allow: PolicyOutput = { verdict: 'allow' };

interface Recorded {
  readonly leaf?: Partial<DecisionLeaf>;
  readonly checks?: readonly CheckEvidence[];
  readonly output?: { readonly floor: PolicyOutput | null; readonly tenant: PolicyOutput | null };
}

/** A record as a worker makes it, of the parts that matter here. */
function record({
  leaf = {},
  checks = PASSED,
  output = { floor: allow, tenant: allow },
}: Recorded) {
  const { tool, upstream } = { tool: 'lookup_order', upstream: 'shop' };
  const definitionHash = '';
  const { payload, commitments } = sealPayload(
    {
      evidence: canonical(asJson({ checks, definition_hash: definitionHash, output })),
      input: canonical({ call: { arguments: {}, tool } }),
    },
    {
      arguments: '{}',
      call: callHash({ tenant, upstream, tool, definitionHash, argsHash: sha256('{}') }),
    },
    () => '0'.repeat(32),
  );
  const policies = (['floor', 'tenant'] as const).map((role) => ({
    digest: `sha256:${role}`,
    engine: 'rego' as const,
    role,
  }));
  const made = decisionRecord(tenant, { leaf: { at: AT, policies, ...leaf, commitments } });
  return { leaf: JSON.parse(made.leaf) as DecisionLeaf, payload };
}

/** Replays a record over policies that answer so. */
async function replay(
  recorded: Recorded,
  answers: { readonly floor?: PolicyAnswer; readonly tenant?: PolicyAnswer } = {},
) {
  const { leaf, payload } = record(recorded);
  return replayDecision(leaf, payload, async (digest, role) => (input, timeMs) => {
    expect([digest, timeMs]).toEqual([`sha256:${role}`, AT]);
    expect(new TextDecoder().decode(input)).toBe('{"call":{"arguments":{},"tool":"lookup_order"}}');
    return answers[role] ?? { ok: true, output: allow };
  });
}

const said = (output: PolicyOutput): { ok: true; output: PolicyOutput } => ({ ok: true, output });
const blocked: Partial<DecisionLeaf> = { verdict: 'block', verdict_before_mode: 'block' };

describe('comes out the same', () => {
  const hold: PolicyOutput = { verdict: 'escalate', reason: 'refund.large' };
  const held: Partial<DecisionLeaf> = {
    verdict: 'escalate',
    verdict_before_mode: 'escalate',
    reason: 'policy.needs_approval',
    policy_reason: 'refund.large',
  };
  const heldChecks = [...BEFORE, step('policy', 'policy.needs_approval')];
  const cases: [
    name: string,
    recorded: Recorded,
    answers: Parameters<typeof replay>[1],
    evaluated: boolean,
  ][] = [
    ['an allow', {}, {}, true],
    [
      'a hold',
      { leaf: held, checks: heldChecks, output: { floor: allow, tenant: hold } },
      { tenant: said(hold) },
      true,
    ],
    [
      'a hold that mode observe lifted',
      {
        leaf: { ...held, verdict: 'allow', mode: 'observe' },
        checks: heldChecks,
        output: { floor: allow, tenant: hold },
      },
      { tenant: said(hold) },
      true,
    ],
    [
      'a block by the floor',
      {
        leaf: { ...blocked, reason: 'policy.floor' },
        checks: [...BEFORE, step('policy', 'policy.floor')],
        output: { floor: { verdict: 'block' }, tenant: null },
      },
      { floor: said({ verdict: 'block' }) },
      true,
    ],
    [
      'a policy that fails again',
      {
        leaf: { ...blocked, reason: 'policy.builtin' },
        checks: [...BEFORE, step('policy', 'policy.builtin')],
        output: { floor: allow, tenant: null },
      },
      { tenant: { ok: false, code: 'policy.builtin', detail: 'now in other words' } },
      true,
    ],
    [
      'a budget that was exhausted, by its recorded evidence',
      {
        leaf: { ...blocked, reason: 'budget.exhausted' },
        checks: [...BEFORE, step('policy'), step('budget', 'budget.exhausted')],
      },
      {},
      true,
    ],
    [
      'a capability that had expired, without asking a policy',
      {
        leaf: { ...blocked, reason: 'capability.expired', policies: [] },
        checks: [step('identity'), step('capability', 'capability.expired')],
        output: { floor: null, tenant: null },
      },
      {},
      false,
    ],
    [
      'a fact that was missing, without asking a policy',
      {
        leaf: { ...blocked, reason: 'facts.missing' },
        checks: [...BEFORE, step('policy', 'facts.missing')],
        output: { floor: null, tenant: null },
      },
      {},
      false,
    ],
    [
      'a call_id that was used before, although every check passed',
      { leaf: { ...blocked, reason: 'call.conflict' } },
      {},
      true,
    ],
  ];
  test.each(cases)('%s', async (_, recorded, answers, evaluated) => {
    const result = await replay(recorded, answers);
    expect(result).toEqual({
      identical: true,
      recorded: result.recorded,
      replayed: result.recorded,
      policies_evaluated: evaluated,
      differences: [],
    });
  });
});

describe('comes out otherwise', () => {
  const cases: [
    name: string,
    recorded: Recorded,
    answers: Parameters<typeof replay>[1],
    differences: string[],
  ][] = [
    [
      'when the policy blocks now',
      {},
      { tenant: said({ verdict: 'block' }) },
      ['verdict', 'verdict_before_mode', 'reason', 'output'],
    ],
    [
      'when the floor blocks now',
      {},
      { floor: said({ verdict: 'block' }) },
      ['verdict', 'verdict_before_mode', 'reason', 'output'],
    ],
    [
      'when the policy allows with other words',
      {},
      { tenant: said({ verdict: 'allow', reason: 'other' }) },
      ['output', 'policy_reason'],
    ],
    [
      'when the recorded verdict is not what the mode makes of it',
      { leaf: { verdict: 'block' } },
      {},
      ['verdict'],
    ],
    [
      'when the recorded reason is not that of the check that ended it',
      {
        leaf: { ...blocked, reason: 'capability.expired' },
        checks: [step('identity', 'identity.expired')],
        output: { floor: null, tenant: null },
      },
      {},
      ['reason'],
    ],
  ];
  test.each(cases)('%s', async (_, recorded, answers, differences) => {
    expect(await replay(recorded, answers)).toMatchObject({ identical: false, differences });
  });
});

describe('cannot be judged again', () => {
  const load = async () => () => said(allow);
  const { leaf, payload } = record({});

  test.each([
    ['an erased payload', leaf, null, 'the payload is erased'],
    [
      'another payload',
      leaf,
      record({ checks: BEFORE }).payload,
      'the payload is not the recorded one: evidence is not what was committed to',
    ],
    [
      'no policy in the record',
      { ...leaf, policies: [] },
      payload,
      'the record names no floor policy',
    ],
    ['a mode that nobody knows', { ...leaf, mode: 'later' }, payload, 'unknown mode later'],
  ])('%s', async (_, given, text, message) => {
    const failed = replayDecision(given, text, load);
    await expect(failed).rejects.toThrow(NotReplayable);
    await expect(failed).rejects.toThrow(message);
  });
});
