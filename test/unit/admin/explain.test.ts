import { describe, expect, test } from 'vitest';

import type { AuditRow } from '#contracts/audit-api.ts';
import type { DecisionLeaf } from '#contracts/decision.ts';
import { asApprovalId, asDecisionId } from '#contracts/ids.ts';
import type { Json } from '#contracts/json.ts';
import { decisionRecord, tenantOf } from '#test/support/records.ts';

import type { ExplainContext } from '../../../services/admin/explain-context.ts';
import { explain } from '../../../services/admin/explain.ts';

const AT = Date.parse('2026-11-21T03:00:00Z');
const ID = asDecisionId('019a1b2c-0000-7000-8000-000000000001');
const HOLD = asApprovalId('019a1b2c-0000-7000-8000-00000000000a');
const NOTHING: ExplainContext = {
  about: [],
  approval: [],
  minted: undefined,
  activated: undefined,
  factsAsOf: undefined,
  stopped: undefined,
  modeSet: undefined,
  exception: undefined,
};

const row = (
  kind: string,
  leaf: Readonly<Record<string, unknown>>,
  secondsLater = 0,
): AuditRow => ({
  sequence: 12,
  kind,
  record_id: 'r',
  decision_id: ID,
  verdict: typeof leaf['verdict'] === 'string' ? leaf['verdict'] : '',
  agent: '',
  at: new Date(AT + secondsLater * 1_000).toISOString(),
  hash: 'sha256:ab',
  source: { epoch: '', index: 0, sequence: 1, stream: 'DECISIONS' },
  leaf,
});

const decision = (leaf: Partial<DecisionLeaf>): AuditRow => {
  const made = decisionRecord(tenantOf('acme'), { leaf: { id: ID, at: AT, ...leaf } });
  return row('decision', JSON.parse(made.leaf) as Record<string, unknown>);
};

const step = (check: string, reason = '') => ({ check, micros: 1, ok: reason === '', reason });
const payload = (evidence: Readonly<Record<string, unknown>>, input: Json = {}) => ({
  evidence: evidence as Json,
  input,
});

const blocked = {
  leaf: { verdict: 'block', verdict_before_mode: 'block' } as const,
  checks: [step('identity'), step('capability'), step('intent'), step('policy', 'policy.blocked')],
};

describe('the headline', () => {
  const kill = row('control.switch', { by: 'ada', target: 'tool:lookup_order', reason: 'loops' });
  const approved = row('approval.approved', { by: 'grace', state: 'approved', via: 'slack' }, 60);
  const held: Partial<DecisionLeaf> = {
    verdict: 'escalate',
    reason: 'policy.needs_approval',
    approval_id: HOLD,
  };
  test.each<[string, Partial<DecisionLeaf>, Partial<ExplainContext>, string]>([
    [
      'of an allow',
      {},
      {},
      'ALLOWED  support-bot -> lookup_order on shop. Every check passed. (policy.allowed)',
    ],
    [
      'of a block',
      { ...blocked.leaf, reason: 'policy.blocked', policy_reason: 'over_limit' },
      {},
      'BLOCKED  support-bot -> lookup_order on shop. The policy blocks this call. (policy.blocked, over_limit)',
    ],
    [
      'of a kill',
      { ...blocked.leaf, reason: 'capability.killed' },
      { stopped: kill },
      'BLOCKED  support-bot -> lookup_order on shop. This was stopped by an operator. (capability.killed) By ada, 2026-11-21 03:00:00 UTC: tool:lookup_order, "loops".',
    ],
    [
      'of a call that waits',
      held,
      {},
      'HELD  support-bot -> lookup_order on shop. It waits for a person. (policy.needs_approval)',
    ],
    [
      'of a call that was approved since',
      held,
      { approval: [approved] },
      'HELD  support-bot -> lookup_order on shop. grace approved it; it runs when its agent sends it again. (policy.needs_approval)',
    ],
    [
      'of a call that nobody answered',
      held,
      { approval: [row('approval.expired', { by: 'system', state: 'expired' })] },
      'HELD  support-bot -> lookup_order on shop. Nobody answered in time, which is not a no. (policy.needs_approval)',
    ],
    [
      'of an approved call',
      { reason: 'policy.approved', resumes: HOLD },
      { approval: [approved] },
      'ALLOWED  support-bot -> lookup_order on shop. grace approved exactly this call. (policy.approved)',
    ],
    [
      'of a refusal that a mode lifted',
      { mode: 'observe', verdict_before_mode: 'block', reason: 'policy.blocked' },
      {},
      'ALLOWED, though it did not pass  support-bot -> lookup_order on shop. Without mode observe it would have been blocked: The policy blocks this call. (policy.blocked)',
    ],
  ])('%s', (_, leaf, context, expected) => {
    const { headline } = explain(decision(leaf), undefined, { ...NOTHING, ...context });
    expect(headline).toBe(expected);
  });
});

const sectionOf = (title: string, ...of: Parameters<typeof explain>) =>
  explain(...of).sections.find((section) => section.title === title)?.lines;

test('names the check that decided, and those that were not asked', () => {
  const leaf = { ...blocked.leaf, reason: 'policy.blocked' };
  expect(sectionOf('checks', decision(leaf), payload({ checks: blocked.checks }), NOTHING)).toEqual(
    [
      'identity    passed',
      'capability  passed',
      'intent      passed',
      'policy      did not pass: policy.blocked   <- decided',
      'budget      not asked any more',
    ],
  );
});

test('tells the names of arguments and facts, no value', () => {
  const input = { call: { arguments: { iban: 'DE02' } }, facts: { order: { customer: 'dave' } } };
  const told = explain(decision({ facts_revision: 'r1-2' }), payload({}, input), NOTHING);
  const text = JSON.stringify(told);
  expect(text).toContain('arguments {iban}');
  expect(text).toContain('order {customer}');
  expect(text).not.toMatch(/DE02|dave/);
});

test('explains from the leaf alone what is erased', () => {
  const told = explain(decision({ ...blocked.leaf, reason: 'policy.blocked' }), undefined, NOTHING);
  const lines = Object.fromEntries(told.sections.map(({ title, lines: said }) => [title, said]));
  expect(lines['what']?.[0]).toBe('lookup_order of shop: its payload is erased');
  expect(lines['checks']?.[3]).toBe('policy      not in the record   <- decided');
});

test.each([
  [
    'ran',
    { status: 'executed', reported_by: 'ingress' },
    'the tool ran (executed), 2000 ms later, reported by ingress',
  ],
  [
    'is unknown',
    { status: 'unknown', reported_by: 'chainer' },
    'nobody knows whether it ran (unknown), 2000 ms later, reported by chainer',
  ],
])('says what became of a call that %s', (_, outcome, expected) => {
  const about = [row('outcome', outcome, 2)];
  expect(
    sectionOf('afterwards', decision({ forwards: true }), undefined, { ...NOTHING, about }),
  ).toEqual([expected]);
});
