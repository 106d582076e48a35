/** The handle of a held call: sealed, so that it says who may come back for it and nobody can make one up. */
import type { TenantId } from '#contracts/ids.ts';

import type { Decided } from './decisions.ts';
import type { Seal, Sealed } from './seal.ts';

/** How long after its end a held call can still be asked about. */
const ASKABLE_MS = 3_600_000;
/** Where an answer says nothing of a hold's end. */
const HELD_MS = 3_600_000;

export interface Handle {
  readonly text: string;
  /** Milliseconds UTC until which the call waits, and its approval is good. */
  readonly expiresAt: number;
}

/** Until when a held call waits, by its opened handle. */
export const waitsUntil = ({ expiresAt }: Sealed): number => expiresAt - ASKABLE_MS;

/** The handle of an escalated decision. */
export function handleOf(
  { body, principal, position }: Decided,
  tenant: TenantId,
  seal: Seal,
): Handle {
  const { approval_id: approvalId, approval_expires_at: until } = body;
  const expiresAt = until === undefined ? Date.now() + HELD_MS : Date.parse(until);
  const text = seal.seal({
    kind: 'task',
    id: body.decision_id,
    principal,
    expiresAt: expiresAt + ASKABLE_MS,
    position,
    ...(approvalId === undefined ? {} : { held: { tenant, approval: approvalId } }),
  });
  return { text, expiresAt };
}
