/**
 * Branded identifiers. Only this file turns a plain string into one; everyone else gets it from a
 * parser here or from a schema that was checked, so an unchecked string cannot reach a subject.
 */
import { createHash } from 'node:crypto';

import { Type } from 'typebox';

declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

export type TenantId = Branded<'TenantId'>;
export type DecisionId = Branded<'DecisionId'>;
export type ApprovalId = Branded<'ApprovalId'>;
export type Revision = Branded<'Revision'>;

/** A tenant is one subject token: lower-case letters, digits, '-' and '_', at most 63 characters. */
export const TENANT_PATTERN = '^[a-z0-9][a-z0-9_-]{0,62}$';
const tenantExpression = new RegExp(TENANT_PATTERN);

/** Chain of the platform itself: global switches, gaps, records with a wrong MAC. No caller belongs to it. */
export const PLATFORM = '_platform' as TenantId;

/** UUIDv7 (RFC 9562) in lower case. */
export const UUID7_PATTERN =
  '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$';
const uuid7Expression = new RegExp(UUID7_PATTERN);

export const TenantIdSchema = Type.Unsafe<TenantId>({ type: 'string', pattern: TENANT_PATTERN });
export const DecisionIdSchema = Type.Unsafe<DecisionId>({ type: 'string', pattern: UUID7_PATTERN });
export const ApprovalIdSchema = Type.Unsafe<ApprovalId>({ type: 'string', pattern: UUID7_PATTERN });
export const RevisionSchema = Type.Unsafe<Revision>({
  type: 'string',
  pattern: '^r[0-9a-z]{1,13}-[0-9a-z]{1,13}$',
  description: 'Opaque position in the control feed. Compare only for equality.',
});

/** The tenant named by untrusted text, or undefined when it is not one. */
export function parseTenantId(text: string): TenantId | undefined {
  return tenantExpression.test(text) ? (text as TenantId) : undefined;
}

/** The decision id in untrusted text, or undefined when it is not a UUIDv7. */
export function parseDecisionId(text: string): DecisionId | undefined {
  return uuid7Expression.test(text) ? (text as DecisionId) : undefined;
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
const hex = (bytes: Uint8Array, from: number, to: number) => {
  let text = '';
  for (let at = from; at < to; at++) text += HEX[bytes[at] ?? 0];
  return text;
};

/**
 * A UUIDv7 (RFC 9562, section 5.7) for the given time.
 * `random` MUST hold at least 10 fresh random bytes; the caller owns the randomness and the clock.
 */
export function uuid7(timeMs: number, random: Uint8Array): string {
  const time = timeMs.toString(16).padStart(12, '0');
  const version = 0x7000 | (((random[0] ?? 0) << 8) & 0x0f00) | (random[1] ?? 0);
  const variant = 0x80 | ((random[2] ?? 0) & 0x3f);
  return `${time.slice(0, 8)}-${time.slice(8)}-${version.toString(16)}-${HEX[variant]}${hex(random, 3, 4)}-${hex(random, 4, 10)}`;
}

/** Milliseconds UTC at which a UUIDv7 was made. */
export const timeOf = (id: DecisionId | ApprovalId): number =>
  Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);

export const asDecisionId = (text: string) => text as DecisionId;
export const asApprovalId = (text: string) => text as ApprovalId;

/**
 * Position in the control feed: epoch of the stream and sequence in it, so that a stream made anew is never
 * mistaken for its predecessor. Outside the platform the text is opaque.
 */
export function revisionOf(epoch: string, sequence: number): Revision {
  return `r${epoch}-${sequence.toString(36)}` as Revision;
}

/** The parts of a revision, or undefined for text that is none. */
export function parseRevision(text: string): { epoch: string; sequence: number } | undefined {
  const match = /^r([0-9a-z]{1,13})-([0-9a-z]{1,13})$/.exec(text);
  if (match === null) return undefined;
  const sequence = Number.parseInt(match[2] ?? '', 36);
  return Number.isSafeInteger(sequence) ? { epoch: match[1] ?? '', sequence } : undefined;
}

/** Short stable name for free text (an agent id, a tool) where a subject or bucket key needs one safe token: 26 characters. */
export function tokenOf(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex').slice(0, 26);
}
