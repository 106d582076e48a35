import type { WorkerAnswer } from '#contracts/call.ts';
/** Which tools of an upstream a caller may see: by identity and capability alone. Not a verdict, not recorded. */
import { type Grant, judgeVisibility } from '#contracts/capability/judge.ts';
import { type Reason, reasonSpec } from '#contracts/reasons.ts';
import { killedBy } from '#contracts/stop.ts';

import {
  type CapabilityPoints,
  type KnownCapability,
  situation,
  standingGrant,
} from './checks/capability.ts';
import { callScopeOf, revokedBy, stoppableOf, type Stops, withdrawnBy } from './checks/stopped.ts';
import type { Call, Checks, Lift, Principal } from './decide.ts';
import { refused } from './judge.ts';
import type { Catalogue } from './points/catalogue.ts';

export interface VisibleParts {
  readonly identity: Checks['identity'];
  readonly capabilities: CapabilityPoints;
  readonly catalogue: Catalogue;
  readonly stops: Stops;
  readonly lift: Lift;
}

/** What identity and capability say of a caller before it has chosen a tool. */
export interface Sight {
  readonly by: Principal;
  /** What the caller holds, though it may be good for nothing: `fault` says why. */
  readonly holds: {
    readonly grant: Grant | undefined;
    /** The token, if it is one and its signatures hold. */
    readonly token: KnownCapability | undefined;
    readonly fault: Reason | '';
  };
  /** Why a tool is hidden; empty when it is not. */
  readonly hides: (upstream: string, tool: string) => Reason | '';
}

/** The registered tools of the call's upstream, each with the reason why it is hidden if it is. */
export function createVisible(parts: VisibleParts): (call: Call) => Promise<WorkerAnswer> {
  return async (call) => {
    const sight = await sightOf(parts, call);
    if ('kind' in sight) return sight;
    const { by, hides } = sight;
    const { upstream, n } = call.envelope;
    const tools = parts.catalogue.tools(call.tenant, upstream).map(({ name }) => {
      const reason = hides(upstream, name);
      return { name, visible: reason === '', reason };
    });
    const scope = callScopeOf(call, by);
    return { n, kind: 'visible', agent: by.agent, principal: by.digest, tools, scope };
  };
}

/** What a caller may see, or the refusal of an identity that does not hold. */
export async function sightOf(parts: VisibleParts, call: Call): Promise<Sight | WorkerAnswer> {
  const principal = await parts.identity(call);
  if (!principal.ok) {
    const code = principal.reason;
    return refused(call, reasonSpec(code).status === 200 ? 'identity.claims' : code);
  }
  const by = principal.value;
  const holds = await holdingOf(parts, call, by);
  const { grant, fault } = holds;
  const stoppable = stoppableOf(call, by);
  if (fault === 'capability.missing') {
    // What a mode or an exception would let it call it may see.
    const called = (tool: string) => ({ ...call, envelope: { ...call.envelope, tool } });
    const lifted = (upstream: string, tool: string) =>
      killedBy({ ...stoppable, upstream, tool }, parts.stops.engaged) === '' &&
      parts.lift(called(tool), by, fault) !== '';
    return { by, holds, hides: (upstream, tool) => (lifted(upstream, tool) ? '' : fault) };
  }
  if (grant === undefined || fault !== '') return { by, holds, hides: () => fault };
  const here = situation(call, by, parts.capabilities.audience);
  return {
    by,
    holds,
    hides: (upstream, tool) =>
      killedBy({ ...stoppable, upstream, tool }, parts.stops.engaged) === ''
        ? (judgeVisibility(grant, { ...here, upstream, tool })?.code ?? '')
        : 'capability.killed',
  };
}

async function holdingOf(parts: VisibleParts, call: Call, by: Principal): Promise<Sight['holds']> {
  const { capabilities, stops } = parts;
  const revoked = revokedBy(call, by, stops.revoked) === '' ? '' : 'capability.revoked';
  if (call.envelope.capability === '') {
    const grant = standingGrant(by, call.tenant, capabilities.agent);
    const missing = grant === undefined ? 'capability.missing' : '';
    return { grant, token: undefined, fault: revoked || missing };
  }
  const opened = await capabilities.open(call.tenant, call.envelope.capability);
  if ('fault' in opened) {
    return { grant: undefined, token: undefined, fault: revoked || opened.fault };
  }
  const withdrawn =
    withdrawnBy(opened, call.tenant, stops.revoked) === '' ? '' : 'capability.revoked';
  return { grant: opened, token: opened, fault: revoked || withdrawn };
}
