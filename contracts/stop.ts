/**
 * What stops calls at once, whatever else would allow them. A revocation takes authority away for good: from a
 * capability and all that was narrowed from it, an agent, a person, a workflow or a task.
 */
import { hash } from 'node:crypto';

import { Type, type Static } from 'typebox';

import { tokenOf } from './ids.ts';

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

/** What the leaf of the event names. The leaf stays for good, so a person stands there only as a hash. */
export const stopTarget = (kind: string, id: string): string =>
  id === '' ? kind : `${kind}:${kind === 'person' ? tokenOf(id) : id}`;

/** Revocation id of the link that a signature of a capability ends. */
export const revocationIdOf = (signature: Uint8Array): string => hash('sha256', signature, 'hex');
