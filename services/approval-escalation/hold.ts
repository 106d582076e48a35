/**
 * What a held decision says about the call: read from the record that the worker wrote, and from nothing else. The
 * record must prove itself: its MAC was checked, and its payload must be the one that its leaf commits to.
 */
import { createHmac } from 'node:crypto';

import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';

import { grantBindingOf } from '#contracts/approval-grant.ts';
import { riskOf } from '#contracts/approval-route.ts';
import { APPROVAL_TTL_S, type ApprovalSummary, bindingOf } from '#contracts/approval.ts';
import { callHash, principalDigest } from '#contracts/call-hash.ts';
import { DecisionLeaf } from '#contracts/decision.ts';
import type { ApprovalId, DecisionId, TenantId } from '#contracts/ids.ts';
import { asJson, canonical, type JsonObject } from '#contracts/json.ts';
import { payloadFault } from '#contracts/payload.ts';
import { type ApprovalRequest, PolicyInput } from '#contracts/policy.ts';
import { type RecordLines, sha256 } from '#contracts/record.ts';

import type { Requester } from './may-decide.ts';

/** What is kept of a held call beside its records. */
export interface Facts {
  readonly decisionId: DecisionId;
  /** Digest of tenant, agent and person. */
  readonly principal: string;
  readonly requester: Omit<Requester, 'editors'>;
  readonly policies: readonly { readonly role: string; readonly digest: string }[];
  readonly policyRevision: string;
  readonly factsRevision: string;
  readonly actors: readonly string[];
  readonly workflow: string;
  readonly session: string;
  readonly task: string;
  /** Name of the exact call of this principal, whatever policy holds it: what an edit is linked by. */
  readonly call?: string;
  /** Name under which a grant for such calls is found. */
  readonly scope?: string;
  /** Only of a grant: digest of the arguments that no bound names. */
  readonly rest?: string;
}

export interface Hold {
  readonly tenant: TenantId;
  readonly id: ApprovalId;
  readonly binding: string;
  readonly arguments: JsonObject;
  readonly asked: ApprovalRequest;
  readonly summary: ApprovalSummary;
  readonly facts: Facts;
  readonly lines: RecordLines;
}

/** The parts of a decision's payload that a preview shows. */
export const HeldPayload = Type.Object({
  sections: Type.Object({
    evidence: Type.Object({
      definition_hash: Type.String(),
      identity: Type.Object({ issuer: Type.String() }),
      message: Type.String(),
      output: Type.Object({
        tenant: Type.Object({ approval: Type.Optional(Type.Unsafe<ApprovalRequest>({})) }),
      }),
      person: Type.String(),
    }),
    input: PolicyInput,
  }),
});
export type HeldPayload = Static<typeof HeldPayload>;

const leafCheck = Compile(DecisionLeaf);
const payloadCheck = Compile(HeldPayload);

/** The leaf of a decision, undefined for what is none. */
export function readLeaf(text: string): DecisionLeaf | undefined {
  const value = parse(text);
  return leafCheck.Check(value) ? value : undefined;
}

/** The payload of a held decision, undefined for one that is not what its leaf commits to. */
export function readPayload(leaf: DecisionLeaf, text: string): HeldPayload | undefined {
  if (payloadFault(leaf, text) !== '') return undefined;
  const value = parse(text);
  return payloadCheck.Check(value) ? value : undefined;
}

/** The held call in a record, or why there is none. @param key names bindings */
export function readHold(lines: RecordLines, key: Uint8Array): Hold | string {
  const leaf = readLeaf(lines.leaf);
  if (leaf === undefined) return 'not the leaf of a decision';
  if (leaf.verdict !== 'escalate' || leaf.approval_id === '') return 'not a held call';
  const payload = readPayload(leaf, lines.payload);
  if (payload === undefined) return 'the payload is not the one of its leaf';
  const { evidence, input } = payload.sections;
  const asked = evidence.output.tenant.approval ?? {};
  const args = input.call.arguments;
  const exact = exactCall(leaf, payload, args);
  const definitionHash = evidence.definition_hash;
  const { upstream, tool } = leaf;
  const bound = { ...exact, policies: leaf.policies.map(({ digest }) => digest), asked };
  const { agent, on_behalf_of: person, actors } = input.principal;
  return {
    tenant: leaf.tenant,
    id: leaf.approval_id,
    binding: bindingOf(key, bound),
    arguments: args,
    asked,
    summary: summaryOf(leaf, leaf.approval_id, { asked, person }),
    facts: {
      decisionId: leaf.id,
      principal: principalDigest(leaf.tenant, agent, person),
      requester: {
        issuer: evidence.identity.issuer,
        subjects: [person, ...actors].filter((subject) => subject !== ''),
      },
      policies: leaf.policies.map(({ role, digest }) => ({ role, digest })),
      policyRevision: leaf.policy_revision,
      factsRevision: leaf.facts_revision,
      actors,
      workflow: leaf.workflow,
      session: leaf.session,
      task: leaf.task,
      call: nameOf(key, exact),
      scope: grantBindingOf(key, { ...bound, upstream, tool, definitionHash }),
    },
    lines,
  };
}

interface ExactCall {
  readonly callHash: string;
  readonly principal: string;
}

function exactCall(leaf: DecisionLeaf, payload: HeldPayload, args: JsonObject): ExactCall {
  const { evidence, input } = payload.sections;
  return {
    callHash: callHash({
      tenant: leaf.tenant,
      upstream: leaf.upstream,
      tool: leaf.tool,
      definitionHash: evidence.definition_hash,
      argsHash: sha256(canonical(args)),
    }),
    principal: canonical(asJson(input.principal)),
  };
}

const nameOf = (key: Uint8Array, { callHash: call, principal }: ExactCall): string =>
  createHmac('sha256', key)
    .update(`exact call 1\n${JSON.stringify([call, principal])}`)
    .digest('hex')
    .slice(0, 40);

/** Name that a held call would have with other arguments; undefined where its record does not prove itself. */
export function nameWith(
  lines: RecordLines,
  args: JsonObject,
  key: Uint8Array,
): string | undefined {
  const leaf = readLeaf(lines.leaf);
  const payload = leaf && readPayload(leaf, lines.payload);
  if (leaf === undefined || payload === undefined) return undefined;
  return nameOf(key, exactCall(leaf, payload, args));
}

function summaryOf(
  leaf: DecisionLeaf,
  id: ApprovalId,
  { asked, person }: { readonly asked: ApprovalRequest; readonly person: string },
): ApprovalSummary {
  return {
    approval_id: id,
    tenant: leaf.tenant,
    tool: leaf.tool,
    upstream: leaf.upstream,
    agent: leaf.agent,
    agent_class: leaf.agent_class,
    person,
    effect: asked.effect ?? '',
    risk: riskOf(asked),
    policy_reason: leaf.policy_reason,
    labels: [...leaf.labels],
    held_at: leaf.at,
    expires_at: leaf.at + (asked.ttl ?? APPROVAL_TTL_S) * 1_000,
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
