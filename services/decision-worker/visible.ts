import type { WorkerAnswer } from '#contracts/call.ts';
/** Which tools of an upstream a caller may see: by identity and capability alone. Not a verdict, not recorded. */
import { type Grant, judgeVisibility } from '#contracts/capability/judge.ts';
import { reasonSpec } from '#contracts/reasons.ts';

import { type CapabilityPoints, grantOf, situation } from './checks/capability.ts';
import { killedBy, revokedBy, stoppableOf, type Stops, withdrawnBy } from './checks/stopped.ts';
import type { Call, Checks, Principal } from './decide.ts';
import { refused } from './judge.ts';
import type { Catalogue } from './points/catalogue.ts';

export interface VisibleParts {
  readonly identity: Checks['identity'];
  readonly capabilities: CapabilityPoints;
  readonly catalogue: Catalogue;
  readonly stops: Stops;
}

/** The registered tools of the call's upstream, each with the reason why it is hidden if it is. */
export function createVisible(parts: VisibleParts): (call: Call) => Promise<WorkerAnswer> {
  return async (call) => {
    const principal = await parts.identity(call);
    if (!principal.ok) {
      const code = principal.reason;
      return refused(call, reasonSpec(code).status === 200 ? 'identity.claims' : code);
    }
    const by = principal.value;
    const hidden = await hides(parts, call, by);
    const tools = parts.catalogue.tools(call.tenant, call.envelope.upstream).map(({ name }) => {
      const reason = hidden(name);
      return { name, visible: reason === '', reason };
    });
    return { n: call.envelope.n, kind: 'visible', agent: by.agent, principal: by.digest, tools };
  };
}

/** Why a tool is hidden from this caller; empty when it is not. */
async function hides(
  parts: VisibleParts,
  call: Call,
  by: Principal,
): Promise<(tool: string) => string> {
  const { capabilities, stops } = parts;
  const { capability: token } = call.envelope;
  if (revokedBy(call, by, stops.revoked) !== '') return () => 'capability.revoked';
  let grant: Grant;
  if (token === '') {
    if (by.registered.grant === undefined) return () => 'capability.missing';
    grant = grantOf(by.registered.grant, call.tenant, by.agent);
  } else {
    const opened = await capabilities.open(call.tenant, token);
    if ('fault' in opened) return () => opened.fault;
    if (withdrawnBy(opened, call.tenant, stops.revoked) !== '') return () => 'capability.revoked';
    grant = opened;
  }
  const here = { ...situation(call, by, capabilities.audience), upstream: call.envelope.upstream };
  const stoppable = { ...stoppableOf(call, by), upstream: call.envelope.upstream };
  return (tool) =>
    killedBy({ ...stoppable, tool }, stops.engaged) === ''
      ? (judgeVisibility(grant, { ...here, tool })?.code ?? '')
      : 'capability.killed';
}
