import type { CallScope } from '#contracts/call.ts';
/**
 * What stops a call whatever else would allow it: an engaged kill switch, a revocation of its caller or of a link of
 * its capability. Pure, a handful of look-ups in memory.
 */
import type { VerifiedCapability } from '#contracts/capability.ts';
import type { TenantId } from '#contracts/ids.ts';
import type { RevocationKind, Stoppable, SwitchScope } from '#contracts/stop.ts';

import type { Call, Principal } from '../decide.ts';

export interface Stops {
  readonly revoked: (tenant: TenantId, kind: RevocationKind, id: string) => boolean;
  readonly engaged: (tenant: TenantId, scope: SwitchScope, id: string) => boolean;
}

/** What only a worker knows of a call that a kill switch may stop on its way. */
export function callScopeOf(
  { envelope }: Pick<Call, 'envelope'>,
  by: Pick<Principal, 'agent' | 'actors' | 'person' | 'workflow' | 'session'>,
): CallScope {
  return {
    actors: [by.agent, ...by.actors],
    person: by.person,
    workflow: by.workflow,
    sessions: [by.session, envelope.session_id ?? ''],
  };
}

/** The call as kill switches see it. */
export function stoppableOf(
  call: Pick<Call, 'tenant' | 'envelope' | 'tool'>,
  by: Parameters<typeof callScopeOf>[1],
): Stoppable {
  const { tenant, envelope, tool } = call;
  return { tenant, tool: envelope.tool, upstream: tool.upstream, ...callScopeOf(call, by) };
}

/**
 * Which revocation stops this caller, for the operator; empty = none. A task and its call may be named by the agent
 * itself; what it was given for, its capability's `task` caveat says and judges.
 */
export function revokedBy(
  { tenant, envelope }: Pick<Call, 'tenant' | 'envelope'>,
  by: Pick<Principal, 'agent' | 'actors' | 'person' | 'workflow' | 'task'>,
  revoked: Stops['revoked'],
): string {
  const is = (kind: RevocationKind, id: string) => id !== '' && revoked(tenant, kind, id);
  if (is('agent', by.agent) || by.actors.some((actor) => is('agent', actor))) return 'the agent';
  if (is('person', by.person)) return 'the person';
  if (is('workflow', by.workflow)) return 'the workflow';
  if (is('task', by.task) || is('task', envelope.task_id ?? '')) return 'the task';
  return '';
}

/**
 * Which revocation stops this capability; empty = none. Every link is looked up, so what was narrowed from a revoked
 * capability is stopped though nobody has seen it before; so is what belongs to a revoked agent, whoever holds it now.
 */
export function withdrawnBy(
  capability: Pick<VerifiedCapability, 'jti' | 'rootJti' | 'subject' | 'links'>,
  tenant: TenantId,
  revoked: Stops['revoked'],
): string {
  const { jti, rootJti, subject, links } = capability;
  if (revoked(tenant, 'capability', jti) || revoked(tenant, 'capability', rootJti))
    return 'the capability';
  const link = links.findIndex((id) => revoked(tenant, 'capability', id));
  if (link !== -1) return `link ${link} of the capability`;
  return revoked(tenant, 'agent', subject) ? 'the agent it was given to' : '';
}
