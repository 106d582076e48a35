/**
 * Grants: with an approval a person may let the same agent repeat that kind of call, some times, for a while, within
 * bounds on the arguments. Whatever no bound names stays exactly as it was approved.
 */
import { createHmac } from 'node:crypto';

import { Type, type Static } from 'typebox';

import type { ArgumentCondition } from './capability/caveats.ts';
import { argumentAt, meets } from './capability/judge.ts';
import { canonical, type JsonObject } from './json.ts';
import type { ApprovalRequest } from './policy.ts';
import { sha256 } from './record.ts';

const closed = { additionalProperties: false } as const;
const path = Type.String({ pattern: '^(/([^~/]|~[01])*)+$', maxLength: 256 });
const Scalar = Type.Union([Type.String({ maxLength: 1_000 }), Type.Number(), Type.Boolean()]);

/** One argument that may differ, by its JSON pointer, and how far. `prefix` '' = any text. */
export const ArgumentBound = Type.Union([
  Type.Object({ path, one_of: Type.Array(Scalar, { minItems: 1, maxItems: 64 }) }, closed),
  Type.Object({ path, prefix: Type.String({ maxLength: 1_000 }) }, closed),
  Type.Object({ path, min: Type.Number(), max: Type.Number() }, closed),
]);
export type ArgumentBound = Static<typeof ArgumentBound>;

export const GrantTerms = Type.Object(
  {
    /** Calls beside the approved one. */
    uses: Type.Integer({ minimum: 1, maximum: 100 }),
    /** Seconds from the approval. */
    for_s: Type.Integer({ minimum: 60, maximum: 86_400 }),
    bounds: Type.Array(ArgumentBound, { maxItems: 16 }),
  },
  closed,
);
export type GrantTerms = Static<typeof GrantTerms>;

/** Which arguments a grant covers: bounds, and the digest of everything else. */
export const GrantCover = Type.Object(
  { bounds: GrantTerms.properties.bounds, rest: Type.String() },
  closed,
);
export type GrantCover = Static<typeof GrantCover>;

/** No grant is given for calls of the highest class, whatever a person says. */
export const grantable = ({ risk }: Pick<ApprovalRequest, 'risk'>): boolean => risk !== 'critical';

/** What a grant over these arguments would cover, or why it cannot be given: the approved call must be covered itself. */
export function coverOf(
  args: JsonObject,
  bounds: GrantTerms['bounds'],
): GrantCover | { readonly fault: string } {
  for (const bound of bounds) {
    if (!meets(bound as ArgumentCondition, argumentAt(args, bound.path)))
      return { fault: `${bound.path}: the call itself is not within it` };
  }
  const rest = restOf(args, bounds);
  return rest === undefined ? { fault: 'two bounds name the same argument' } : { bounds, rest };
}

/** Whether a call is within the bounds, and everything else of it as it was approved. */
export function covers({ bounds, rest }: GrantCover, args: JsonObject): boolean {
  const within = bounds.every((bound) =>
    meets(bound as ArgumentCondition, argumentAt(args, bound.path)),
  );
  return within && restOf(args, bounds) === rest;
}

/** Digest of the arguments with null in each bounded place; undefined where a place is in another one. */
function restOf(args: JsonObject, bounds: GrantTerms['bounds']): string | undefined {
  const rest = structuredClone(args);
  for (const bound of bounds) {
    const at = bound.path.lastIndexOf('/');
    const name = bound.path
      .slice(at + 1)
      .replaceAll('~1', '/')
      .replaceAll('~0', '~');
    const parent = argumentAt(rest, bound.path.slice(0, at)) as JsonObject | undefined;
    if ((argumentAt(rest, bound.path) ?? null) === null || parent === undefined) return undefined;
    parent[name] = null; // of a list too: the name of a member that is there is its index
  }
  return sha256(canonical(rest));
}

/** What a grant is for beside the arguments. */
export interface GrantScope {
  readonly upstream: string;
  readonly tool: string;
  readonly definitionHash: string;
  /** Canonical JSON of the principal in the policy input. */
  readonly principal: string;
  /** Digests of the policies that held the call, floor first. */
  readonly policies: readonly string[];
  /** Another risk, route or quorum is another question; the words of the effect may differ. */
  readonly asked: ApprovalRequest;
}

/** Name of a grant's scope; nobody without the key can find one. 40 hex digits, never a binding of a call. */
export function grantBindingOf(
  key: Uint8Array,
  { upstream, tool, definitionHash, principal, policies, asked }: GrantScope,
): string {
  const { risk, route, quorum } = asked;
  const call = [upstream, tool, definitionHash, principal];
  const parts = [...call, policies, risk ?? '', route ?? '', quorum ?? 0];
  return createHmac('sha256', key)
    .update(`approval grant 1\n${JSON.stringify(parts)}`)
    .digest('hex')
    .slice(0, 40);
}
