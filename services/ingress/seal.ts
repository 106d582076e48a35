/**
 * Opaque handles that leave the house and come back: the `ref` of a decision and the id of an MCP task. What they
 * name is encrypted and authenticated, so a caller learns no positions and can make none up (AES-256-GCM).
 */
import type { DecisionId } from '#contracts/ids.ts';

/** ref: names a decision for the report of its outcome. task: names a held call for its later resume. */
export type SealKind = 'ref' | 'task';

/** What a handle stands for. */
export interface Sealed {
  readonly kind: SealKind;
  readonly id: DecisionId;
  /** Digest of tenant, agent and person, as the worker proved it. */
  readonly principal: string;
  /** Milliseconds UTC: end of validity of the decision or the hold. What it means is the opener's to judge. */
  readonly expiresAt: number;
  readonly position: { readonly epoch: string; readonly sequence: number; readonly index: number };
}

export interface Seal {
  /** Text of base64url characters, at most 512 for positions of ours. */
  readonly seal: (what: Sealed) => string;
  /** What was sealed, or undefined for text that this key did not seal or that is of another kind. Untrusted input. */
  readonly open: (kind: SealKind, text: string) => Sealed | undefined;
}
