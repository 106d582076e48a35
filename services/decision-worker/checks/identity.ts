/**
 * First check. Proves who is calling, for which person, in which workflow.
 * Cost: memory only for a token seen before; one signature verification for a new one.
 */
import type { Agent } from '#contracts/control.ts';
import type { TenantId } from '#contracts/ids.ts';
import { canonical } from '#contracts/json.ts';
import type { PolicyInput } from '#contracts/policy.ts';
import type { Reason } from '#contracts/reasons.ts';
import { NO_KEYS, type SenderKeys } from '#contracts/sender.ts';

import { block, type Call, type Checks, pass, type Principal } from '../decide.ts';
import { provenKeys, type ProveKey } from './sender.ts';

/** What a verified token says, by the claim names that its issuer was registered with. */
export interface Claims {
  readonly agent: string;
  readonly person: string;
  readonly workflow: string;
  readonly session: string;
  readonly task: string;
  readonly purpose: string;
  readonly actors: readonly string[];
  /** Claim `act` whole as canonical JSON, where it says more than `actors`; else empty. */
  readonly act: string;
}

export interface VerifiedIdentity {
  readonly issuer: string;
  /** Digest of the token's bytes. */
  readonly token: string;
  readonly expiresAt: number;
  readonly claims: Claims;
  /** Keys that its sender must prove to hold; NO_KEYS itself = none. */
  readonly bound: SenderKeys;
}

export interface IdentityPoints {
  /** The identity in a token, or why it does not hold at that time. */
  readonly verify: (
    token: string,
    tenant: TenantId,
    at: number,
  ) => Promise<VerifiedIdentity | { readonly fault: Reason; readonly detail: string }>;
  readonly prove: ProveKey;
  readonly agent: (tenant: TenantId, id: string) => Agent | undefined;
  readonly digest: (tenant: TenantId, agent: string, person: string) => string;
  readonly pseudonym: (tenant: TenantId, person: string) => string;
}

/** Longest accepted chain of actors (RFC 8693, section 4.1). */
export const ACTORS_MAX = 8;
const PRINCIPALS_MAX = 10_000;

/** The check over its points. Principals are kept by verified token and registration, never verdicts. */
export function identityCheck(points: IdentityPoints): Checks['identity'] {
  const known = new Map<VerifiedIdentity, Principal>();
  const principalOf = (call: Call, identity: VerifiedIdentity, registered: Agent): Principal => {
    const before = known.get(identity);
    if (before !== undefined && before.registered === registered) return before;
    if (known.size >= PRINCIPALS_MAX) known.clear();
    const principal = describe(call.tenant, { identity, registered, points, asserted: '' });
    known.set(identity, principal);
    return principal;
  };

  return async (call) => {
    const { tenant } = call;
    const identity = await points.verify(call.envelope.identity, tenant, call.at);
    if ('fault' in identity) return block(identity.fault, identity.detail);
    let sender = NO_KEYS;
    if (call.envelope.sender !== undefined || identity.bound !== NO_KEYS) {
      const proven = await provenKeys(call, identity.bound, points.prove);
      if ('fault' in proven) return block(proven.fault, proven.detail);
      sender = proven;
    }
    const registered = points.agent(tenant, identity.claims.agent);
    if (registered === undefined) {
      const found = describe(tenant, { identity, registered: {}, points, asserted: '' });
      // It may be a person who came without an agent: a name that nobody registered stays out of the chain.
      const pseudonym = found.pseudonym || points.pseudonym(tenant, found.agent);
      return block('identity.unknown_agent', '', { ...found, pseudonym });
    }
    const principal = principalOf(call, identity, registered);
    const fault = faultOf(principal);
    if (fault !== '') return block(fault, `issuer ${principal.identity.issuer}`, principal);
    const asserted = call.envelope.asserted?.id ?? '';
    if (asserted === '' || asserted === principal.person || asserted === principal.agent) {
      return pass(sender === NO_KEYS ? principal : { ...principal, sender });
    }
    if (registered.enforcement_point !== true) {
      return block('identity.not_enforcement_point', 'another subject was named', principal);
    }
    const described = describe(tenant, { identity, registered, points, asserted });
    return pass(sender === NO_KEYS ? described : { ...described, sender });
  };
}

function faultOf({ registered, identity, actors }: Principal): Reason | '' {
  if (registered.issuer !== undefined && registered.issuer !== identity.issuer)
    return 'identity.agent_issuer';
  return actors.length > ACTORS_MAX ? 'identity.actor_chain' : '';
}

function describe(
  tenant: TenantId,
  from: {
    readonly identity: VerifiedIdentity;
    readonly registered: Agent;
    readonly points: IdentityPoints;
    /** The subject that a registered enforcement point speaks for, instead of its own person. */
    readonly asserted: string;
  },
): Principal {
  const { identity, registered, points, asserted } = from;
  const { claims } = identity;
  const person = asserted === '' ? claims.person : asserted;
  const input: PolicyInput['principal'] = {
    actors: [...claims.actors],
    agent: claims.agent,
    agent_class: registered.class ?? '',
    on_behalf_of: person,
    tenant,
    workflow: claims.workflow,
  };
  return {
    agent: claims.agent,
    agentClass: input.agent_class,
    person,
    asserted: asserted !== '',
    pseudonym: person === '' ? '' : points.pseudonym(tenant, person),
    workflow: claims.workflow,
    session: claims.session,
    task: claims.task,
    purpose: claims.purpose,
    actors: claims.actors,
    registered,
    digest: points.digest(tenant, claims.agent, person),
    sender: NO_KEYS,
    identity: {
      issuer: identity.issuer,
      token: identity.token,
      expiresAt: identity.expiresAt,
      act: claims.act,
    },
    input,
    inputText: canonical(input),
  };
}
