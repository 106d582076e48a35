// Records as a busy tenant leaves them, as the chainer is given them: what the bench about evidence is measured on.

import { randomBytes } from 'node:crypto';

import { callHash } from '#contracts/call-hash.ts';
import type { DecisionLeaf } from '#contracts/decision.ts';
import { asDecisionId, parseTenantId, type TenantId, uuid7 } from '#contracts/ids.ts';
import { canonical } from '#contracts/json.ts';
import type { OutcomeLeaf } from '#contracts/outcome.ts';
import { type RecordLines, sealPayload, sha256 } from '#contracts/record.ts';
import { searchTerms } from '#contracts/search.ts';

import type { Candidate } from '../services/audit-chainer/candidate.ts';

export const TENANT = parseTenantId('bench') as TenantId;
const AGENTS = 40;
const PERSONS = 2_000;
const TOOLS = ['send_email', 'lookup_order', 'refund_order', 'list_orders', 'run_sql'];
const BODY = 'All is well with your order. '.repeat(38);
const DEFINITION = `sha256:${'0'.repeat(64)}`;

/**
 * The n-th record: two of three are decisions, each third the outcome of the one before. One in fifty decisions is a
 * block, one in two hundred is held. About 3 KB a decision, as those of the load generator.
 * @param at milliseconds UTC
 */
export function recordNumber(n: number, at: number, before: Candidate | undefined): Candidate {
  return n % 3 === 2 && before?.kind === 'decision' ? outcome(n, at, before) : decision(n, at);
}

function decision(n: number, at: number): Candidate {
  const id = asDecisionId(uuid7(at, randomBytes(10)));
  const tool = TOOLS[n % TOOLS.length] ?? '';
  const agent = `support-${(n * 7) % AGENTS}`;
  const args = { body: BODY, subject: `Your order ord_${n}`, to: 'orders@shop.example' };
  const text = canonical(args);
  const argsHash = sha256(text);
  const call = { tenant: TENANT, upstream: 'shop', tool, definitionHash: DEFINITION, argsHash };
  const input = canonical({
    call: { arguments: args, tool, upstream: 'shop' },
    time: { unix_ms: at },
  });
  const evidence = canonical({
    definition_hash: DEFINITION,
    output: { floor: null, tenant: null },
  });
  const { payload, commitments } = sealPayload(
    { evidence, input },
    { arguments: text, call: callHash(call) },
    freshSalt,
  );
  const [verdict, reason] =
    n % 50 === 0
      ? (['block', 'policy.blocked'] as const)
      : n % 200 === 1
        ? (['escalate', 'policy.needs_approval'] as const)
        : (['allow', 'policy.allowed'] as const);
  const leaf: DecisionLeaf = {
    agent,
    agent_class: 'support',
    approval_id: '',
    ask: 'decide',
    at,
    budget: [],
    capability: { id: `c${n % AGENTS}`, kind: 'token', root: `c${n % AGENTS}` },
    commitments,
    cost: 0,
    durability: 'power-cut',
    facts_revision: 'r1',
    forwards: false, // else the chainer closes those without an outcome
    id,
    kind: 'decision',
    labels: [],
    mode: 'enforce',
    obligations: [],
    person: sha256(`person ${(n * 31) % PERSONS}`).slice(7, 39),
    policies: [
      { digest: DEFINITION, engine: 'rego', role: 'floor' },
      { digest: DEFINITION, engine: 'rego', role: 'tenant' },
    ],
    policy_reason: '',
    policy_revision: 'r1',
    reason,
    receipt_key: '',
    resumes: '',
    session: `session-${agent}`,
    task: 'ticket-4711',
    tenant: TENANT,
    tool,
    trace_id: '',
    upstream: 'shop',
    v: 1,
    verdict,
    verdict_before_mode: verdict,
    via: 'http',
    worker: 'worker-1',
    workflow: 'support',
  };
  return candidate(n, leaf, payload);
}

function outcome(n: number, at: number, before: Candidate): Candidate {
  const { payload, commitments } = sealPayload({ detail: '{}' }, {}, freshSalt);
  const leaf: OutcomeLeaf = {
    at,
    commitments,
    decision_id: asDecisionId(before.id),
    id: before.id,
    kind: 'outcome',
    late: false,
    reported_by: 'caller',
    status: 'executed',
    tenant: TENANT,
    v: 1,
  };
  return candidate(n, leaf, payload);
}

function candidate(n: number, leaf: DecisionLeaf | OutcomeLeaf, payload: string): Candidate {
  const decides = leaf.kind === 'decision';
  const lines: RecordLines = { leaf: JSON.stringify(leaf), payload };
  return {
    tenant: leaf.tenant,
    kind: leaf.kind,
    id: leaf.id,
    decisionId: decides ? leaf.id : leaf.decision_id,
    agent: decides ? leaf.agent : '',
    verdict: decides ? leaf.verdict : '',
    terms: searchTerms(leaf.kind, { ...leaf }),
    at: leaf.at,
    lines,
    source: {
      epoch: 'bench',
      index: 0,
      sequence: n + 1,
      stream: decides ? 'DECISIONS' : 'OUTCOMES',
    },
    storedAt: leaf.at,
  };
}

const freshSalt = () => randomBytes(16).toString('hex');
