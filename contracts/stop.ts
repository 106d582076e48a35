/**
 * What stops calls at once, whatever else would allow them. A revocation takes authority away for good: from a
 * capability and all that was narrowed from it, an agent, a person, a workflow or a task. A kill switch stops a scope
 * until two persons release it.
 */
import { hash } from 'node:crypto';

import { Type, type Static } from 'typebox';

import { PLATFORM, type TenantId } from './ids.ts';

/** Any id as its issuer writes it. No control characters. */
const StoppedId = Type.String({ pattern: '^[^\\u0000-\\u001f\\u007f]{1,256}$' });

/** Why an operator did it. Stands in the chain for good, so it names no person. */
export const StopReason = Type.String({
  minLength: 1,
  maxLength: 1_000,
  description: 'Why. Stands in the chain for good: name no person here.',
});

export const RevocationKind = Type.Union([
  Type.Literal('capability'),
  Type.Literal('agent'),
  Type.Literal('person'),
  Type.Literal('workflow'),
  Type.Literal('task'),
]);
export type RevocationKind = Static<typeof RevocationKind>;

const closed = { additionalProperties: false } as const;

const revoked = {
  kind: RevocationKind,
  id: Type.Unsafe<string>({
    ...StoppedId,
    description: 'For a capability its id, or the revocation id of one of its links.',
  }),
  reason: StopReason,
};

export const RevocationRequest = Type.Object(revoked, closed);
export type RevocationRequest = Static<typeof RevocationRequest>;

/** What the event says. `by` is the id of the operator. */
export const RevocationOrder = Type.Object({ ...revoked, by: Type.String() }, closed);
export type RevocationOrder = Static<typeof RevocationOrder>;

/** What stands in the state. `at`: milliseconds UTC of the first revocation. */
export const Revocation = Type.Object(
  { ...RevocationOrder.properties, at: Type.Integer() },
  closed,
);
export type Revocation = Static<typeof Revocation>;

export const SwitchScope = Type.Union([
  Type.Literal('global'),
  Type.Literal('tenant'),
  Type.Literal('agent'),
  Type.Literal('tool'),
  Type.Literal('upstream'),
  Type.Literal('person'),
  Type.Literal('workflow'),
  Type.Literal('session'),
]);
export type SwitchScope = Static<typeof SwitchScope>;

const place = {
  scope: Type.Unsafe<SwitchScope>({
    ...SwitchScope,
    description: '"global" belongs to tenant "_platform", all others to the tenant that they stop.',
  }),
  id: Type.Optional(
    Type.Unsafe<string>({ ...StoppedId, description: 'Not for scopes "global" and "tenant".' }),
  ),
};

export const SwitchEngage = Type.Object({ ...place, reason: StopReason }, closed);
export const SwitchRelease = Type.Object({ ...place, reason: Type.Optional(StopReason) }, closed);

const switched = {
  scope: SwitchScope,
  /** Empty for scopes `global` and `tenant`. */
  id: Type.String(),
  by: Type.String(),
  reason: Type.String(),
};

/** What an event of a switch says. `by` is the id of the operator. */
export const SwitchOrder = Type.Object(switched, closed);
export type SwitchOrder = Static<typeof SwitchOrder>;

/** An engaged switch. `release`: the first of the two persons who release it; null = nobody yet. */
export const Switch = Type.Object(
  {
    ...switched,
    at: Type.Integer(),
    release: Type.Union([
      Type.Object({ by: Type.String(), reason: Type.String(), at: Type.Integer() }),
      Type.Null(),
    ]),
  },
  closed,
);
export type Switch = Static<typeof Switch>;

/** What a kill switch can stop in a call. */
export interface Stoppable {
  readonly tenant: TenantId;
  readonly tool: string;
  readonly upstream: string;
  readonly actors: readonly string[];
  readonly person: string;
  readonly workflow: string;
  /** The identity's and the one that the call names. */
  readonly sessions: readonly string[];
}

/** Scope of the widest engaged switch that stops this call, for the operator; empty = none. */
export function killedBy(
  call: Stoppable,
  engaged: (tenant: TenantId, scope: SwitchScope, id: string) => boolean,
): SwitchScope | '' {
  const is = (scope: SwitchScope, id: string) => id !== '' && engaged(call.tenant, scope, id);
  if (engaged(PLATFORM, 'global', '')) return 'global';
  if (engaged(call.tenant, 'tenant', '')) return 'tenant';
  if (call.actors.some((actor) => is('agent', actor))) return 'agent';
  if (is('tool', call.tool)) return 'tool';
  if (is('upstream', call.upstream)) return 'upstream';
  if (is('person', call.person)) return 'person';
  if (is('workflow', call.workflow)) return 'workflow';
  return call.sessions.some((session) => is('session', session)) ? 'session' : '';
}

/** Where a switch stands. */
export interface SwitchPlace extends Pick<Switch, 'scope' | 'id'> {
  readonly tenant: string;
}

/** Whether this one switch stops this call. */
export const inScope = (place: SwitchPlace, call: Stoppable): boolean =>
  killedBy(
    call,
    (tenant, scope, id) => tenant === place.tenant && scope === place.scope && id === place.id,
  ) !== '';

/** What the leaf of the event names. The leaf stays for good, so a person stands in the payload only, not even hashed. */
export const stopTarget = (kind: string, id: string): string =>
  id === '' || kind === 'person' ? kind : `${kind}:${id}`;

/** Revocation id of the link that a signature of a capability ends. */
export const revocationIdOf = (signature: Uint8Array): string => hash('sha256', signature, 'hex');
