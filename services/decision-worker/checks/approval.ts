/**
 * Between policy and budget, and only where the policy says escalate: did people approve exactly this call, for exactly
 * this principal, under exactly these policies? The policy itself never sees an approval.
 */
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
    const found = await entry(call.tenant, bindingFor(call, by, { grant: held.found, key }));
    // An answer is good until the call would have expired; after that people are asked anew.
    if (found === undefined || call.at >= found.expires_at) return unknown(held);
    return released(found, call.at, held);
  };
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
  const release = { approvalId, expiresAt, note, used, uses };
  const block = (is: 'denied' | 'used', reason: Reason): Refusal<Release> => ({
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
    case 'pending':
      return { ...held, found: { ...release, is: 'pending' } };
    default: // an end that nobody decided: whoever asks again is asked about again
      return unknown(held);
  }
}
