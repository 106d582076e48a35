/**
 * A grant is an approval of its own: made by the last yes to a held call, with its own id, time and number of uses,
 * and ended by everything that ends an approval: its time, an operator, a kill switch, another policy.
 */
import { randomBytes } from 'node:crypto';

import { coverOf, grantable, type GrantTerms } from '#contracts/approval-grant.ts';
import { asApprovalId, uuid7 } from '#contracts/ids.ts';
import type { JsonObject } from '#contracts/json.ts';

import { eventOf } from './event.ts';
import { readLeaf, readPayload } from './hold.ts';
import type { Actor, Approval } from './reduce.ts';
import type { NewGrant } from './store-edits.ts';
import type { Row } from './store.ts';

const ID_BYTES = 10;

/** Arguments of a held call as its record proves them. */
export function argumentsOf({ lines }: Row): JsonObject | undefined {
  const leaf = readLeaf(lines.leaf);
  const payload = leaf && readPayload(leaf, lines.payload);
  return payload?.sections.input.call.arguments;
}

/** Why these terms cannot be granted with a yes to this call; '' when they can. */
export function grantFault(row: Row, terms: GrantTerms): string {
  if (!grantable(row.progress.summary)) return 'calls of the highest risk are approved one by one';
  if (row.facts.scope === undefined) return 'this call was held before there were grants';
  const args = argumentsOf(row);
  const cover = args === undefined ? { fault: '' } : coverOf(args, terms.bounds);
  return 'fault' in cover ? cover.fault : '';
}

/** The grant that an approved call gives, undefined for none. @param at milliseconds UTC */
export function grantGiven(
  row: Row,
  next: Approval,
  actor: Actor,
  at: number,
): NewGrant | undefined {
  const { grant } = next.progress;
  const args = argumentsOf(row);
  const { scope } = row.facts;
  if (next.state !== 'approved' || grant === undefined) return undefined;
  if (args === undefined || scope === undefined) return undefined;
  const cover = coverOf(args, grant.bounds);
  if ('fault' in cover) return undefined;
  const id = asApprovalId(uuid7(at, randomBytes(ID_BYTES)));
  const expiresAt = at + grant.for_s * 1_000;
  const { summary: held } = next.progress;
  const summary = { ...held, approval_id: id, held_at: at, expires_at: expiresAt };
  const grantOf = asApprovalId(row.id);
  const approval: Approval = {
    ...next,
    step: 1,
    expiresAt,
    uses: grant.uses,
    used: 0,
    progress: { ...next.progress, summary, grantOf },
  };
  const facts = { ...row.facts, rest: cover.rest };
  const place = { tenant: row.tenant, id, decisionId: facts.decisionId };
  return {
    held: { tenant: row.tenant, id, binding: scope, summary, facts, lines: row.lines },
    approval,
    event: eventOf(approval, place, { event: 'granted', actor }, at),
  };
}
