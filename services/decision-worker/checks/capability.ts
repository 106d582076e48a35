import { microUnits } from '#contracts/budget.ts';
import type { VerifiedCapability } from '#contracts/capability.ts';
import type { Caveat } from '#contracts/capability/caveats.ts';
/**
 * Second check. Proves that the capability is ours, unrevoked, belongs to a caller in this chain of actors, and
 * covers this call; a caller without one falls back to the standing grant of its registration.
 * Cost: memory only for a capability seen before; one bucket read and a few HMACs for a new one.
 */
import { expiresAt, type Grant, judgeCaveats, limits } from '#contracts/capability/judge.ts';
import type { Agent, StandingGrant } from '#contracts/control.ts';
import type { TenantId } from '#contracts/ids.ts';
import { canonical, type Json } from '#contracts/json.ts';
import type { Reason } from '#contracts/reasons.ts';
import { killedBy } from '#contracts/stop.ts';

import {
  block,
  type Call,
  type Checks,
  type Held,
  pass,
  type Principal,
  type Refusal,
} from '../decide.ts';
import { revokedBy, stoppableOf, type Stops, withdrawnBy } from './stopped.ts';

/** A capability whose signatures hold and whose root was minted here. */
export interface KnownCapability extends VerifiedCapability {
  /** Base of what the record and the policy see of it; the same object for the same bytes. */
  readonly held: Held;
}

export interface CapabilityPoints {
  /** The capability in a token, or why it does not hold. Rejects when the root cannot be looked up. */
  readonly open: (
    tenant: TenantId,
    token: string,
  ) => Promise<KnownCapability | { readonly fault: Reason; readonly detail: string }>;
  /** Name under which this service is the audience of a capability. */
  readonly audience: string;
  /** A registered agent. */
  readonly agent: (tenant: TenantId, id: string) => Agent | undefined;
}

/** The check over its points. */
export function capabilityCheck(points: CapabilityPoints & Stops): Checks['capability'] {
  return async (call, by) => {
    const { capability: token } = call.envelope;
    const killed = killedBy(stoppableOf(call, by), points.engaged);
    if (killed !== '') return block('capability.killed', `kill switch: ${killed}`);
    const revoked = revokedBy(call, by, points.revoked);
    if (revoked !== '') return block('capability.revoked', revoked);
    if (token === '') return standing(call, by, points);
    const opened = await points.open(call.tenant, token);
    if ('fault' in opened) return block(opened.fault, opened.detail);
    const withdrawn = withdrawnBy(opened, call.tenant, points.revoked);
    if (withdrawn !== '') return block('capability.revoked', withdrawn, opened.held);
    const refusal = judgeCaveats(opened, situation(call, by, points.audience));
    if (refusal !== null) {
      return block(
        refusal.code,
        `caveat ${refusal.index} (${refusal.type}): ${refusal.detail}`,
        opened.held,
      );
    }
    return aboveIt(call, by, opened, points) ?? pass(opened.held);
  };
}

/**
 * What those may do who delegated to the agent that a capability is for: along a chain of actors nobody passes on more
 * than is his own, so each of them needs a standing grant that covers the call. Undefined when it is covered.
 */
function aboveIt(
  call: Call,
  by: Principal,
  { subject, held }: KnownCapability,
  { agent, audience }: CapabilityPoints,
): Refusal<Held> | undefined {
  for (const actor of by.actors.slice(by.actors.lastIndexOf(subject) + 1)) {
    const granted = agent(call.tenant, actor)?.grant;
    if (granted === undefined)
      return block('capability.missing', `${actor} delegated and has no standing grant`, held);
    const grant = { subject: by.agent, tenant: call.tenant, issuedAt: 0, notBefore: null };
    const refusal = judgeCaveats(
      { ...grant, caveats: caveatsOf(granted) },
      situation(call, by, audience),
    );
    if (refusal !== null)
      return block(refusal.code, `standing grant of ${actor}: ${refusal.detail}`, held);
  }
  return undefined;
}

/** What a capability is judged against. */
export function situation(call: Call, by: Principal, audience: string) {
  return {
    tool: call.envelope.tool,
    upstream: call.tool.upstream,
    arguments: call.arguments,
    agent: by.agent,
    actors: by.actors,
    tenant: call.tenant,
    task: by.task !== '' ? by.task : (call.envelope.task_id ?? ''),
    audience,
    sender: by.sender,
    nowMs: call.at,
  };
}

const NONE: Held = {
  kind: 'none',
  id: '',
  root: '',
  callLimits: [],
  amountLimits: [],
  inputText: '{"caveats":[],"expires_at":0,"id":"","issued_at":0,"root_id":"","subject":""}',
};

function standing(call: Call, by: Principal, points: CapabilityPoints) {
  const grant = standingGrant(by, call.tenant, points.agent);
  if (grant === undefined) {
    const detail = by.actors.length > 1 ? 'not every actor of the chain has a standing grant' : '';
    return block<Held>('capability.missing', detail, NONE);
  }
  const held: Held = {
    ...NONE,
    kind: 'standing',
    inputText: heldText({ ...grant, jti: '', rootJti: '' }),
  };
  const refusal = judgeCaveats(grant, situation(call, by, points.audience));
  return refusal === null
    ? pass(held)
    : block(refusal.code, `standing grant: ${refusal.detail}`, held);
}

/**
 * What a caller without a capability may do, in the form of one, so that one judge serves both: its own standing grant
 * and those of all who delegated to it, each of which has to cover a call. Undefined where one of them has none.
 */
export function standingGrant(
  by: Pick<Principal, 'agent' | 'actors' | 'registered'>,
  tenant: TenantId,
  agentOf: CapabilityPoints['agent'],
): Grant | undefined {
  const { agent, actors, registered } = by;
  if (registered.grant === undefined) return undefined;
  const caveats = caveatsOf(registered.grant);
  for (const actor of actors) {
    if (actor === agent) continue;
    const granted = agentOf(tenant, actor)?.grant;
    if (granted === undefined) return undefined;
    caveats.push(...caveatsOf(granted));
  }
  return { tenant, subject: agent, issuedAt: 0, notBefore: null, caveats };
}

function caveatsOf(grant: StandingGrant): Caveat[] {
  const caveats: Caveat[] = [{ t: 'tool_allow', tools: grant.tools }];
  if (grant.forbidden_tools !== undefined)
    caveats.push({ t: 'tool_deny', tools: grant.forbidden_tools });
  if (grant.upstreams !== undefined) caveats.push({ t: 'upstream', upstreams: grant.upstreams });
  if (grant.expires_at !== undefined) caveats.push({ t: 'exp', exp: grant.expires_at });
  return caveats;
}

/** What record and policy see of a verified capability. */
export function heldOf(capability: VerifiedCapability, kind: 'token' | 'compat'): Held {
  const until = (expiresAt(capability) ?? 0) * 1_000;
  return {
    kind,
    id: capability.jti,
    root: capability.rootJti,
    callLimits: limits(capability).flatMap((limit) =>
      limit.kind === 'calls' ? [{ link: limit.link, calls: limit.atMost, expiresAt: until }] : [],
    ),
    amountLimits: limits(capability).flatMap((limit) => {
      if (limit.kind !== 'amount') return [];
      const total = Math.min(microUnits(limit.atMost), Number.MAX_SAFE_INTEGER);
      return [{ link: limit.link, path: limit.path, total, expiresAt: until }];
    }),
    inputText: heldText(capability),
  };
}

function heldText(capability: Grant & { readonly jti: string; readonly rootJti: string }): string {
  const caveats = capability.caveats.map(({ t, ...members }) => ({ type: t, ...members }));
  return canonical({
    id: capability.jti,
    root_id: capability.rootJti,
    subject: capability.subject,
    issued_at: capability.issuedAt,
    expires_at: expiresAt(capability) ?? 0,
    caveats: caveats as unknown as Json, // caveats are JSON by construction
  });
}
