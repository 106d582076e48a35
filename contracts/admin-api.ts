/**
 * The admin API as a table: what can be registered and changed. Other parts have tables of their own (*-api.ts); all
 * of them are listed here.
 */
import { Type } from 'typebox';

import {
  AnyJson,
  Changed,
  CodesAnswer,
  CodesRequest,
  FactSourceShown,
  FactsRequest,
  item,
  list,
  MintAnswer,
  MintRequest,
  PasswordRequest,
  PolicyAnswer,
  PolicyRequest,
  SwitchAnswer,
  ToolsRequest,
} from './admin-bodies.ts';
import { APPROVAL_OPERATIONS } from './approval-api.ts';
import { ApprovalRoutes } from './approval-route.ts';
import { AUDIT_OPERATIONS } from './audit-api.ts';
import { Budgets } from './ceilings.ts';
import { CompatRequest, CompatShown } from './compat.ts';
import {
  Agent,
  Digest,
  Issuer,
  Operator,
  Role,
  StoredPolicy,
  TenantSettings,
  Tool,
  Upstream,
} from './control.ts';
import { DrillReport, DrillRequest } from './drill.ts';
import { EXPORT_OPERATIONS } from './export-api.ts';
import { FactSource } from './fact-source.ts';
import { RevisionSchema } from './ids.ts';
import { NOTIFY_OPERATIONS } from './notify-api.ts';
import { get, type Operation, post, put, remove, TENANT } from './operation.ts';
import { PAYLOAD_OPERATIONS } from './payload-api.ts';
import { PROOF_OPERATIONS } from './proof-api.ts';
import { REDACTION_OPERATIONS } from './redaction-api.ts';
import { ROLLOUT_OPERATIONS } from './rollout-api.ts';
import { Revocation, RevocationRequest, Switch, SwitchEngage, SwitchRelease } from './stop.ts';

export const ADMIN_OPERATIONS = {
  listTenants: get(
    '/v1/tenants',
    'Tenants that you may see.',
    Type.Object({ revision: RevisionSchema, tenants: Type.Array(Type.String()) }),
  ),
  getOperator: get(
    '/v1/operator',
    'Who you are here.',
    Type.Object({
      id: Type.String(),
      name: Type.String(),
      roles: Type.Array(Role),
      tenants: Type.Array(Type.String(), { description: 'Empty = all.' }),
    }),
  ),
  listOperators: {
    ...get(
      '/v1/operators',
      'Operators of this installation.',
      list(Type.Omit(Operator, ['token_hash'])),
    ),
    role: 'admin',
  },
  putOperator: put(
    '/v1/operators/{id}',
    'admin',
    'Register a person, or change roles, tenants or token; without token_hash the one that they have stays.',
    Type.Omit(Operator, ['id'], { additionalProperties: false }),
  ),
  disableOperator: {
    ...post(
      '/v1/operators/{id}/disable',
      'Stop a person at once, by token and at the pages; to put them again lets them in again.',
      { body: undefined, answer: Changed },
      { status: 200 },
    ),
    role: 'admin',
  },
  setPassword: put(
    '/v1/operators/{id}/password',
    'admin',
    'Set the password with which a person signs in. Ends their sessions.',
    PasswordRequest,
  ),
  setCodes: {
    ...put(
      '/v1/operators/{id}/totp',
      'admin',
      "Set the secret of a person's one-time codes (RFC 6238). It is shown once. Ends their sessions.",
      CodesRequest,
    ),
    answer: CodesAnswer,
  },
  deleteOperator: remove('/v1/operators/{id}', 'admin', 'Take all rights from a person.'),

  getStatus: get(
    `${TENANT}/status`,
    'What is registered, and what is active.',
    Type.Object({
      revision: RevisionSchema,
      tenant: Type.String(),
      policy: Type.Union([Digest, Type.Null()]),
      floor: Type.Union([Digest, Type.Null()]),
      counts: Type.Record(Type.String(), Type.Integer()),
    }),
  ),
  getTenant: get(TENANT, 'Settings of a tenant.', item(TenantSettings)),
  putTenant: put(TENANT, 'admin', 'Set the settings of a tenant.', TenantSettings),

  listIssuers: get(`${TENANT}/issuers`, 'Registered token issuers.', list(Issuer)),
  getIssuer: get(`${TENANT}/issuers/{id}`, 'One token issuer.', item(Issuer)),
  putIssuer: put(
    `${TENANT}/issuers/{id}`,
    'admin',
    'Register an issuer of agent identities: its keys, audiences and claim names.',
    Issuer,
  ),
  deleteIssuer: remove(`${TENANT}/issuers/{id}`, 'admin', 'Stop trusting an issuer.'),

  listAgents: get(`${TENANT}/agents`, 'Registered agents.', list(Agent)),
  getAgent: get(`${TENANT}/agents/{agent}`, 'One agent.', item(Agent)),
  putAgent: put(`${TENANT}/agents/{agent}`, 'operator', 'Register an agent.', Agent),
  deleteAgent: remove(
    `${TENANT}/agents/{agent}`,
    'operator',
    'Unregister an agent: its calls are refused.',
  ),

  listUpstreams: get(`${TENANT}/upstreams`, 'Tool servers.', list(Upstream)),
  getUpstream: get(`${TENANT}/upstreams/{name}`, 'One tool server.', item(Upstream)),
  putUpstream: put(`${TENANT}/upstreams/{name}`, 'admin', 'Register a tool server.', Upstream),
  deleteUpstream: remove(
    `${TENANT}/upstreams/{name}`,
    'admin',
    'Unregister a tool server and its tools.',
  ),

  listTools: get(`${TENANT}/tools`, 'The tool catalogue.', list(Tool), ['upstream']),
  putTools: put(
    `${TENANT}/tools`,
    'operator',
    'Register tools, and take others out, in one change.',
    ToolsRequest,
  ),

  mintCapability: post(`${TENANT}/capabilities`, 'Mint a capability. The token is shown once.', {
    body: MintRequest,
    answer: MintAnswer,
  }),

  listRevocations: get(`${TENANT}/revocations`, 'What was revoked.', list(Revocation)),
  revoke: post(
    `${TENANT}/revocations`,
    'Revoke a capability with all narrowed from it, an agent, a person, a workflow or a task. For good.',
    { body: RevocationRequest, answer: Changed },
  ),

  listSwitches: get(
    `${TENANT}/switches`,
    'Engaged kill switches that stop calls of this tenant, the global one among them.',
    list(Switch),
  ),
  engageSwitch: {
    ...post(
      `${TENANT}/switches`,
      'Stop a scope at once. Engaging what is engaged keeps it, and withdraws a first release.',
      { body: SwitchEngage, answer: SwitchAnswer },
    ),
    platformRole: 'operator',
  },
  releaseSwitch: {
    ...post(
      `${TENANT}/switches/release`,
      'Release a kill switch: the first request asks, that of another person releases.',
      { body: SwitchRelease, answer: SwitchAnswer },
      { status: 200 },
    ),
    platformRole: 'operator',
  },

  drillSwitches: {
    ...post(
      `${TENANT}/switches/drill`,
      'Measure how fast a kill switch reaches every process. Stops nothing. Tenant "_platform" only.',
      { body: DrillRequest, answer: DrillReport },
      { status: 200 },
    ),
    platformRole: 'operator',
  },

  listPolicies: get(
    `${TENANT}/policies`,
    'Policies that were put, and which one is active.',
    Type.Object({
      revision: RevisionSchema,
      active: Type.Union([Digest, Type.Null()]),
      previous: Type.Union([Digest, Type.Null()]),
      items: Type.Array(item(StoredPolicy)),
    }),
  ),
  getPolicy: get(
    `${TENANT}/policies/{digest}`,
    'Sources of a policy.',
    Type.Object({
      revision: RevisionSchema,
      digest: Digest,
      name: Type.String(),
      role: StoredPolicy.properties.role,
      active: Type.Boolean(),
      files: Type.Record(Type.String(), Type.String()),
    }),
  ),
  putPolicy: {
    ...post(
      `${TENANT}/policies`,
      'Check, test, compile and store a policy. It is not active before it is activated.',
      { body: PolicyRequest, answer: PolicyAnswer },
      { query: ['name'] },
    ),
    archives: ['application/gzip', 'application/x-tar'],
  },
  activatePolicy: post(
    `${TENANT}/policies/{digest}/activate`,
    'Make a stored policy the one that decides.',
    {
      body: undefined,
      answer: Type.Object({
        ...Changed.properties,
        digest: Digest,
        previous: Type.Union([Digest, Type.Null()]),
      }),
    },
    { status: 200 },
  ),

  listFacts: get(
    `${TENANT}/facts`,
    'Facts whose key begins with a prefix, ascending; at most `limit`, after the key `after`.',
    Type.Object({
      revision: RevisionSchema,
      items: Type.Array(item(AnyJson)),
      more: Type.Boolean(),
    }),
    ['prefix', 'after', 'limit'],
  ),
  changeFacts: post(
    `${TENANT}/facts`,
    'Change several facts at once: all of them at one revision.',
    {
      body: FactsRequest,
      answer: Changed,
    },
    { status: 200 },
  ),
  getFact: get(`${TENANT}/facts/{key}`, 'One fact.', item(AnyJson)),
  putFact: put(`${TENANT}/facts/{key}`, 'operator', 'Set a fact to the body.', AnyJson),
  patchFact: {
    ...put(`${TENANT}/facts/{key}`, 'operator', 'Merge the body into a fact (RFC 7396).', AnyJson),
    method: 'PATCH',
  },
  deleteFact: remove(`${TENANT}/facts/{key}`, 'operator', 'Remove a fact.'),

  listFactSources: get(
    `${TENANT}/fact-sources`,
    'Systems that facts come from, and how recent their word is.',
    list(FactSourceShown),
  ),
  putFactSource: put(
    `${TENANT}/fact-sources/{id}`,
    'admin',
    'Name a system that facts come from, and how old its word may be.',
    FactSource,
  ),
  deleteFactSource: remove(
    `${TENANT}/fact-sources/{id}`,
    'admin',
    'Facts of this system do not get stale any more.',
  ),

  getBudgets: get(`${TENANT}/budgets`, 'Ceilings of a tenant.', item(Budgets)),
  putBudgets: put(`${TENANT}/budgets`, 'operator', 'Set all ceilings of a tenant.', Budgets),

  getCompat: {
    ...get(`${TENANT}/compat`, "What of IntentGate's is switched on.", item(CompatShown)),
    role: 'operator',
  },
  putCompat: put(
    `${TENANT}/compat`,
    'admin',
    "Accept tokens of IntentGate's key, or answer its route POST /v1/mcp; what is left out is off.",
    CompatRequest,
  ),
  deleteCompat: remove(`${TENANT}/compat`, 'admin', "Switch off all of IntentGate's."),

  getRoutes: get(
    `${TENANT}/routes`,
    'Who may approve held calls, and whom to tell when.',
    item(ApprovalRoutes),
  ),
  putRoutes: put(
    `${TENANT}/routes`,
    'admin',
    'Set all routes of a tenant. Calls that are held already keep theirs.',
    ApprovalRoutes,
  ),
} as const satisfies Readonly<Record<string, Operation>>;

/** Every table of operations that admin serves; the documents are made from all of them. */
export const ADMIN_TABLES: readonly Readonly<Record<string, Operation>>[] = [
  ADMIN_OPERATIONS,
  AUDIT_OPERATIONS,
  PROOF_OPERATIONS,
  EXPORT_OPERATIONS,
  PAYLOAD_OPERATIONS,
  REDACTION_OPERATIONS,
  APPROVAL_OPERATIONS,
  NOTIFY_OPERATIONS,
  ROLLOUT_OPERATIONS,
];
