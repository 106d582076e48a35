/** Who would decide a call and who would be told when, as it would be fixed if it were held now. */
import { type ApprovalRoutes, planFor } from '#contracts/approval-route.ts';
import { CONTROL_KEYS, type Operator } from '#contracts/control.ts';
import type { HeldAsk, HeldReply } from '#contracts/held.ts';
import type { TenantId } from '#contracts/ids.ts';
import type { JsonObject } from '#contracts/json.ts';
import type { ControlView } from '#host/control-view.ts';

import { approversOf } from './may-decide.ts';

export interface PlanParts {
  readonly view: Pick<ControlView, 'get'>;
  readonly operators: ReadonlyMap<string, Operator>;
}

export function planOfCall(
  { view, operators }: PlanParts,
  tenant: TenantId,
  ask: Extract<HeldAsk, { ask: 'plan' }>,
): HeldReply<'plan'> {
  const { tool, risk, route, quorum, person = '' } = ask;
  const args = objectIn(ask.arguments);
  if (args === undefined) return { ok: false, fault: 'impossible', detail: 'No JSON object.' };
  const routes = view.get<ApprovalRoutes>(CONTROL_KEYS.routes(tenant))?.value?.routes ?? [];
  const asked = {
    risk,
    ...(route === undefined ? {} : { route }),
    ...(quorum === undefined ? {} : { quorum }),
  };
  const plan = planFor(routes, { tool, arguments: args, asked });
  if (plan === undefined)
    return { ok: true, value: { route: '', stages: [], tiers: [], step_up_s: 0 } };
  const requester = { issuer: '', subjects: person === '' ? [] : [person], editors: [] };
  const stages = plan.stages.map(({ name, approvers, quorum: needed }) => ({
    name,
    quorum: needed,
    people: approversOf(operators, { approvers }, { tenant, requester }).map(({ id }) => id),
  }));
  return { ok: true, value: { ...plan, stages } };
}

function objectIn(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as JsonObject) : undefined; // parsed from JSON just here
  } catch {
    return undefined; // not JSON
  }
}
