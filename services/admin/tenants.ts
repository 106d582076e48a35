/** Tenants as wholes: their settings and ceilings, and what there is of them. */
import type { ApprovalRoutes } from '#contracts/approval-route.ts';
import { budgetsFault } from '#contracts/budget.ts';
import type { Budgets } from '#contracts/ceilings.ts';
import { type ActivePolicy, CONTROL_KEYS, type TenantSettings } from '#contracts/control.ts';
import { parseTenantId, PLATFORM, type TenantId } from '#contracts/ids.ts';
import type { ControlView } from '#host/control-view.ts';

import { changeBy } from './change.ts';
import type { AdminHandlers, Deps } from './deps.ts';
import { AdminError } from './errors.ts';
import { seesTenant } from './operators.ts';
import { exists, thingOr } from './things.ts';

type Tenants = Pick<
  AdminHandlers,
  | 'listTenants'
  | 'getStatus'
  | 'getTenant'
  | 'putTenant'
  | 'getBudgets'
  | 'putBudgets'
  | 'getRoutes'
  | 'putRoutes'
>;

export function tenantHandlers({ view, record }: Deps): Tenants {
  const change = changeBy(record);
  return {
    listTenants: async ({ operator }) => ({
      revision: view.revision(),
      tenants: tenantsOf(view).filter((tenant) => seesTenant(operator, tenant)),
    }),
    getStatus: async ({ tenant }) => statusOf(view, tenant),
    getTenant: async ({ tenant }) =>
      thingOr<TenantSettings>(view, CONTROL_KEYS.tenant(tenant), tenant, {}),
    putTenant: async (asked) => {
      const { tenant, body } = asked;
      if (body.time_zone !== undefined && !isTimeZone(body.time_zone)) {
        throw new AdminError('tenant.time_zone', '', { path: '/time_zone' });
      }
      return change(asked, { kind: 'tenant', action: 'put', target: tenant, value: body });
    },
    getBudgets: async ({ tenant }) =>
      thingOr<Budgets>(view, CONTROL_KEYS.budgets(tenant), tenant, { ceilings: [] }),
    putBudgets: async (asked) => {
      const fault = budgetsFault(asked.body);
      if (fault !== undefined) throw new AdminError(fault.code, fault.detail, { path: fault.path });
      return change(asked, {
        kind: 'budgets',
        action: 'put',
        target: asked.tenant,
        value: asked.body,
      });
    },
    getRoutes: async ({ tenant }) =>
      thingOr<ApprovalRoutes>(view, CONTROL_KEYS.routes(tenant), tenant, { routes: [] }),
    putRoutes: async (asked) =>
      change(asked, { kind: 'routes', action: 'put', target: asked.tenant, value: asked.body }),
  };
}

function isTimeZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}

const KINDS = [
  'tenant',
  'issuer',
  'agent',
  'upstream',
  'catalog',
  'policy',
  'bundle',
  'fact',
  'budget',
  'routes',
  'redaction',
  'revocation',
  'switch',
];

/** Tenants of which there is anything, ascending; without the platform itself. */
/** Tenants that anything is registered of, in order. */
export function tenantsOf(view: ControlView): TenantId[] {
  const tenants = new Set<TenantId>();
  for (const kind of KINDS) {
    for (const key of view.keys(`${kind}.`)) {
      const tenant = parseTenantId(key.split('.')[1] ?? '');
      if (tenant !== undefined && exists(view, key)) tenants.add(tenant);
    }
  }
  return [...tenants].sort();
}

const COUNTED = {
  agents: 'agent',
  facts: 'fact',
  issuers: 'issuer',
  tools: 'catalog',
  upstreams: 'upstream',
};

function statusOf(view: ControlView, tenant: TenantId) {
  const count = (kind: string) =>
    view.keys(`${kind}.${tenant}.`).filter((key) => exists(view, key)).length;
  const active = (whose: TenantId) =>
    view.get<ActivePolicy>(CONTROL_KEYS.policy(whose))?.value?.digest ?? null;
  return {
    revision: view.revision(),
    tenant,
    policy: tenant === PLATFORM ? null : active(tenant),
    floor: active(PLATFORM),
    counts: Object.fromEntries(Object.entries(COUNTED).map(([name, kind]) => [name, count(kind)])),
  };
}
