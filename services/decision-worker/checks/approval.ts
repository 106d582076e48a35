/**
 * Between policy and budget, and only where the policy says escalate: did people approve exactly this call, for exactly
 * this principal, under exactly these policies? The policy itself never sees an approval.
 */
import { covers, grantable, grantBindingOf } from '#contracts/approval-grant.ts';
import { type ApprovalEntry, bindingOf, heldAs } from '#contracts/approval.ts';
import type { TenantId } from '#contracts/ids.ts';
import type { Reason } from '#contracts/reasons.ts';

import {
  type Call,
  type Checked,
  type Checks,
  type Grant,
  pass,
  type Principal,
  type Refusal,
  type Release,
} from '../decide.ts';
import { hashOfCall } from '../record.ts';

export interface ApprovalPoints {
  /** The proven entry of a call, undefined when there is none. @throws when the bucket cannot be asked */
  readonly entry: (tenant: TenantId, binding: string) => Promise<ApprovalEntry | undefined>;
  /** Names bindings. */
  readonly key: Uint8Array;
}

/** The check over its points. */
export function approvalCheck({ entry, key }: ApprovalPoints): Checks['approval'] {
  return async (call, by, held) => {
    // An evaluation opens no hold and uses no approval.
    if (held.found === undefined || call.envelope.ask !== 'decide') return unknown(held);
    const { found: grant } = held;
    const found = await entry(call.tenant, bindingFor(call, by, { grant, key }));
    // An answer is good until the call would have expired; after that people are asked anew.
    const exact =
      found === undefined || call.at >= found.expires_at
        ? unknown(held)
        : released(found, call.at, held);
    // A task is asked for again and again; it runs by its own approval, once.
    if (!unanswered(exact) || call.envelope.resumes === true) return exact;
    const granted = await grantFor(call, by, { grant, key, entry });
    return granted === undefined ? exact : pass(granted);
  };
}

/** Nobody said anything of this exact call that holds, or what they allowed has been done. */
const unanswered = (exact: Checked<Release>): boolean =>
  !exact.ok && (exact.found === undefined || exact.found.is === 'used');

/** A grant that covers the call and has uses left. */
async function grantFor(
  call: Call,
  by: Principal,
  {
    grant: { approval: asked = {}, policies },
    key,
    entry,
  }: ApprovalPoints & { readonly grant: Grant },
): Promise<Release | undefined> {
  if (!grantable(asked)) return undefined;
  const binding = grantBindingOf(key, {
    upstream: call.tool.upstream,
    tool: call.envelope.tool,
    definitionHash: call.tool.definitionHash,
    principal: by.inputText,
    policies: policies.map(({ digest }) => digest),
    asked,
  });
  const found = await entry(call.tenant, binding);
  if (found?.grant === undefined || heldAs(found, call.at) !== 'approved') return undefined;
  if (!covers(found.grant, call.arguments)) return undefined;
  const { approval_id: approvalId, expires_at: expiresAt, uses, used, note } = found;
  return { is: 'approved', approvalId, expiresAt, uses, used, note, grant: true };
}

const bindingFor = (
  call: Call,
  by: Principal,
  { grant, key }: { readonly grant: Grant; readonly key: Uint8Array },
): string =>
  bindingOf(key, {
    callHash: hashOfCall(call),
    principal: by.inputText,
    policies: grant.policies.map(({ digest }) => digest),
    asked: grant.approval ?? {},
  });

/** Held, as if nobody had been asked. */
export const unknown = (held: Refusal<Grant>): Refusal<Release> => ({ ...held, found: undefined });

function released(
  { approval_id: approvalId, expires_at: expiresAt, note, used, uses, ...entry }: ApprovalEntry,
  at: number,
  held: Refusal<Grant>,
): Checked<Release> {
  const release = { approvalId, expiresAt, note, used, uses, grant: false };
  const block = (is: 'denied' | 'edited' | 'used', reason: Reason): Refusal<Release> => ({
    ok: false,
    verdict: 'block',
    reason,
    detail: '',
    found: { ...release, is },
  });
  switch (heldAs({ state: entry.state, used, uses, expires_at: expiresAt }, at)) {
    case 'approved':
      return pass({ ...release, is: 'approved' });
    case 'used':
      return block('used', 'approval.used');
    case 'denied':
      return block('denied', 'approval.denied');
    case 'edited':
      return block('edited', 'approval.edited');
    case 'pending':
      return { ...held, found: { ...release, is: 'pending' } };
    default: // an end that nobody decided: whoever asks again is asked about again
      return unknown(held);
  }
}
