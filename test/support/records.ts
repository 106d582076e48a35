// Records as their writers make them, for tests that need many of them and no writer.

import { randomBytes } from 'node:crypto';

import { callHash } from '#contracts/call-hash.ts';
import type { ControlLeaf } from '#contracts/control.ts';
import type { DecisionLeaf } from '#contracts/decision.ts';
import { asDecisionId, parseTenantId, type TenantId, uuid7 } from '#contracts/ids.ts';
import { canonical, type Json } from '#contracts/json.ts';
import type { OutcomeLeaf } from '#contracts/outcome.ts';
import { type RecordLines, sealPayload, sha256 } from '#contracts/record.ts';

const salt = () => randomBytes(16).toString('hex');

export const freshDecisionId = () => asDecisionId(uuid7(Date.now(), randomBytes(10)));

/** A tenant id from plain text, which MUST be one. */
export function tenantOf(text: string): TenantId {
  const tenant = parseTenantId(text);
  if (tenant === undefined) throw new Error(`no tenant: ${text}`);
  return tenant;
}

const seal = (leaf: object, payload: string): RecordLines => ({
  leaf: canonical(leaf as Json),
  payload,
});

/** A recorded allow; `leaf` changes parts of the leaf after its commitments were made. */
export function decisionRecord(
  tenant: TenantId,
  { leaf = {}, args = { order_id: 'A-1' } }: { leaf?: Partial<DecisionLeaf>; args?: Json } = {},
): RecordLines & { readonly id: string } {
  const id = leaf.id ?? freshDecisionId();
  const at = leaf.at ?? Date.now();
  const tool = leaf.tool ?? 'lookup_order';
  const upstream = leaf.upstream ?? 'shop';
  const definitionHash = `sha256:${'0'.repeat(64)}`;
  const text = canonical(args);
  const { payload, commitments } = sealPayload(
    {
      evidence: canonical({
        definition_hash: definitionHash,
        output: { floor: null, tenant: null },
      }),
      input: canonical({ call: { arguments: args, tool, upstream }, time: { unix_ms: at } }),
    },
    {
      arguments: text,
      call: callHash({ tenant, upstream, tool, definitionHash, argsHash: sha256(text) }),
    },
    salt,
  );
  const whole: DecisionLeaf = {
    agent: 'support-bot',
    agent_class: '',
    approval_id: '',
    ask: 'decide',
    at,
    budget: [],
    capability: { id: 'c1', kind: 'token', root: 'c1' },
    commitments,
    cost: 0,
    durability: 'power-cut',
    facts_revision: '',
    forwards: false,
    id,
    kind: 'decision',
    labels: [],
    mode: 'enforce',
    obligations: [],
    person: '',
    policies: [],
    policy_reason: '',
    policy_revision: '',
    reason: 'policy.allowed',
    receipt_key: '',
    resumes: '',
    session: '',
    task: '',
    tenant,
    tool,
    trace_id: '',
    upstream,
    v: 1,
    verdict: 'allow',
    verdict_before_mode: 'allow',
    via: 'http',
    worker: 'worker-1',
    workflow: '',
    ...leaf,
  };
  return { id, ...seal(whole, payload) };
}

/** What became of a decision, as the ingress reports it. */
export function outcomeRecord(
  tenant: TenantId,
  decisionId: string,
  change: Partial<OutcomeLeaf> = {},
): RecordLines {
  const { payload, commitments } = sealPayload({ detail: '{}' }, {}, salt);
  const leaf: OutcomeLeaf = {
    at: Date.now(),
    commitments,
    decision_id: asDecisionId(decisionId),
    id: decisionId,
    kind: 'outcome',
    late: false,
    reported_by: 'caller',
    status: 'executed',
    tenant,
    v: 1,
    ...change,
  };
  return seal(leaf, payload);
}

/** A change by a person. */
export function controlRecord(
  tenant: string,
  change: Partial<ControlLeaf> = {},
  value: Json = null,
): RecordLines {
  const { payload, commitments } = sealPayload({ value: canonical(value) }, {}, salt);
  const leaf: ControlLeaf = {
    action: 'put',
    at: Date.now(),
    by: 'ada',
    commitments,
    id: uuid7(Date.now(), randomBytes(10)),
    kind: 'control.agent',
    reason: '',
    target: 'support-bot',
    tenant,
    v: 1,
    ...change,
  };
  return seal(leaf, payload);
}
