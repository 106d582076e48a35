/**
 * Fourth check. The tool must be known and its arguments fit; the facts that the policy declares are put into the
 * input; then the floor, which no tenant can lift, and the tenant's own policy decide over exactly the same input.
 * Cost: memory only; two WASM evaluations.
 */
import type { PolicyUse } from '#contracts/decision.ts';
import { type CompiledFacts, factKeys } from '#contracts/facts.ts';
import type { TenantId } from '#contracts/ids.ts';
import { canonical, type Json } from '#contracts/json.ts';
import type { Mode } from '#contracts/mode.ts';
import { POLICY_INPUT_BYTES_MAX, type PolicyOutput } from '#contracts/policy.ts';
import type { Reason } from '#contracts/reasons.ts';
import { type Evaluate, judgeInput } from '#policies/engine/judge.ts';

import {
  block,
  type Call,
  type Checked,
  type Checks,
  type Grant,
  type Intent,
  pass,
  type Principal,
} from '../decide.ts';

export interface ActiveBundle {
  readonly digest: string;
  /** Revision that made it active. */
  readonly revision: string;
  readonly facts: CompiledFacts;
  readonly evaluate: Evaluate;
}

export interface PolicyPoints {
  /** The active bundle, or why there is none. */
  readonly floor: () => ActiveBundle | Reason;
  readonly active: (tenant: TenantId) => ActiveBundle | Reason;
  /** A stored fact and its canonical JSON. */
  readonly fact: (
    tenant: TenantId,
    key: string,
  ) => { readonly value: Json; readonly text: string } | undefined;
  /** The source of a fact whose word is too old; empty = none. */
  readonly staleSource: (tenant: TenantId, key: string, at: number) => string;
  readonly factsRevision: () => string;
  readonly mode: (call: Call, by: Principal) => Mode;
}

/** The check over its points. */
export function policyCheck(points: PolicyPoints): Checks['policy'] {
  return async (call, by, under, intent) => {
    const floor = points.floor();
    const active = points.active(call.tenant);
    const facts =
      typeof active === 'string' ? NO_FACTS : lookUp(call, { by, intent, active, points });
    const factsRevision = points.factsRevision();
    const known = {
      principal: by.inputText,
      capability: under.inputText,
      intent: intent.inputText,
      facts: facts.text,
      factsRevision,
      mode: points.mode(call, by),
      session: call.envelope.session_id ?? by.session,
    };
    const whole = inputText(call, known);
    const large = tooLarge(whole);
    // Without its facts it can be recorded.
    const input = large ? inputText(call, { ...known, facts: NO_FACTS.text }) : whole;
    const found = grantOf(input, { floor, active, factsRevision });
    const fault = beforePolicy(call, { floor, active, ...facts, large });
    if (fault !== undefined) return block(fault.reason, fault.detail, found);
    if (typeof floor === 'string' || typeof active === 'string')
      return block('policy.none', '', found);
    return evaluate(call, { floor, active, found });
  };
}

/** Counted only where characters of three bytes could make it too large. */
const tooLarge = (input: string): boolean =>
  input.length * 3 > POLICY_INPUT_BYTES_MAX && Buffer.byteLength(input) > POLICY_INPUT_BYTES_MAX;

interface Fault {
  readonly reason: Reason;
  readonly detail: string;
}

/** What must hold before a policy is asked at all. */
function beforePolicy(
  { tool, arguments: args }: Call,
  state: {
    readonly floor: ActiveBundle | Reason;
    readonly active: ActiveBundle | Reason;
    readonly missing: string;
    readonly stale: string;
    readonly large: boolean;
  },
): Fault | undefined {
  if (tool.fault !== '') return { reason: tool.fault, detail: '' };
  const unfit = tool.argumentsFault?.(args) ?? '';
  if (unfit !== '') return { reason: 'tool.arguments', detail: unfit };
  if (typeof state.floor === 'string') return { reason: state.floor, detail: 'floor' };
  if (typeof state.active === 'string') return { reason: state.active, detail: 'tenant policy' };
  if (state.stale !== '') return { reason: 'facts.stale', detail: state.stale };
  if (state.missing !== '') return { reason: 'facts.missing', detail: state.missing };
  if (state.large) return { reason: 'policy.input_too_large', detail: '' };
  return undefined;
}

interface Facts {
  /** Canonical JSON of the facts by alias. */
  readonly text: string;
  /** Alias of the first required fact that is not known, else empty. */
  readonly missing: string;
  /** First fact whose source has not spoken for too long, with the source; else empty. */
  readonly stale: string;
}
const NO_FACTS: Facts = { text: '{}', missing: '', stale: '' };

function lookUp(
  call: Call,
  from: {
    readonly by: Principal;
    readonly intent: Intent;
    readonly active: ActiveBundle;
    readonly points: PolicyPoints;
  },
): Facts {
  const { by, intent, active, points } = from;
  if (active.facts.length === 0) return NO_FACTS;
  const keys = factKeys(active.facts, {
    call: { tool: call.envelope.tool, upstream: call.tool.upstream, arguments: call.arguments },
    principal: by.input,
    intent: { task: intent.task },
    session: { id: call.envelope.session_id ?? by.session },
  });
  let text = '';
  let missing = '';
  let stale = '';
  for (const [index, { alias, key, required, default: fallback }] of keys.entries()) {
    const stored = key === undefined ? undefined : points.fact(call.tenant, key);
    // That a fact is not there is the source's word too.
    if (key !== undefined && stale === '') {
      const source = points.staleSource(call.tenant, key, call.at);
      if (source !== '') stale = `${alias}: source ${source}`;
    }
    const fits = stored !== undefined && active.facts[index]?.fits(stored.value) === true;
    if (!fits && required) {
      missing = missing === '' ? alias : missing;
      continue;
    }
    const shown = fits ? stored.text : canonical(fallback ?? {});
    text += `${text === '' ? '' : ','}${JSON.stringify(alias)}:${shown}`;
  }
  return { text: `{${text}}`, missing, stale };
}

/** What of an input is known; a decision that ended early knows less. */
export interface InputParts {
  readonly principal: string;
  readonly capability: string;
  readonly intent: string;
  readonly facts: string;
  readonly factsRevision: string;
  readonly mode: Mode;
  readonly session: string;
}

/** Parts of a call about which nothing is known yet: every field there, empty. */
export const NOTHING_KNOWN: InputParts = {
  principal:
    '{"actors":[],"agent":"","agent_class":"","on_behalf_of":"","tenant":"","workflow":""}',
  capability: '{"caveats":[],"expires_at":0,"id":"","issued_at":0,"root_id":"","subject":""}',
  intent: '{"allowed_tools":[],"declared_by":"","forbidden_tools":[],"purpose":"","task":""}',
  facts: '{}',
  factsRevision: '',
  mode: 'enforce',
  session: '',
};

/** The input as canonical JSON, assembled from pieces that are canonical already; nothing is stringified twice. */
export function inputText(call: Call, known: InputParts): string {
  const { envelope, tool } = call;
  const schema = tool.fault === '' && tool.argumentsFault !== undefined ? 'valid' : 'none';
  return (
    `{"call":{"arguments":${call.args},"schema":"${schema}","tool":${JSON.stringify(envelope.tool)},"upstream":${JSON.stringify(tool.upstream)}},` +
    `"capability":${known.capability},"facts":${known.facts},"facts_revision":"${known.factsRevision}",` +
    `"intent":${known.intent},"mode":"${known.mode}","principal":${known.principal},` +
    `"session":{"calls":[],"id":${JSON.stringify(known.session)}},` +
    `"time":{"unix":${Math.floor(call.at / 1_000)},"unix_ms":${call.at}}}`
  );
}

function grantOf(
  text: string,
  state: {
    readonly floor: ActiveBundle | Reason;
    readonly active: ActiveBundle | Reason;
    readonly factsRevision: string;
  },
): Grant {
  const policies: PolicyUse[] = [];
  const { floor, active } = state;
  if (typeof floor !== 'string')
    policies.push({ digest: floor.digest, engine: 'rego', role: 'floor' });
  if (typeof active !== 'string')
    policies.push({ digest: active.digest, engine: 'rego', role: 'tenant' });
  return {
    policies,
    revision: typeof active === 'string' ? '' : active.revision,
    factsRevision: state.factsRevision,
    inputText: text,
    policyReason: '',
    message: '',
    obligations: [],
    labels: [],
    cost: 0,
    approval: undefined,
    output: { floor: null, tenant: null },
  };
}

function evaluate(
  call: Call,
  state: { readonly floor: ActiveBundle; readonly active: ActiveBundle; readonly found: Grant },
): Checked<Grant> {
  const { floor, active, found } = state;
  const input = Buffer.from(found.inputText);
  const policies = { floor: floor.evaluate, tenant: active.evaluate };
  const { verdict, reason, detail, output } = judgeInput(policies, input, call.at);
  const grant: Grant = { ...found, ...wordsOf(output.tenant), output };
  return verdict === 'allow' ? pass(grant) : { ok: false, verdict, reason, detail, found: grant };
}

/** What the tenant's policy adds to the record and the answer. */
function wordsOf(output: PolicyOutput | null): Partial<Grant> {
  if (output === null) return {};
  return {
    policyReason: output.reason ?? '',
    message: output.message ?? '',
    obligations: output.obligations ?? [],
    labels: output.labels ?? [],
    cost: output.cost ?? 0,
    approval: output.approval,
  };
}
