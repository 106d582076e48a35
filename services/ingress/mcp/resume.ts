/**
 * Streams of the old era that end before their answer and are taken up again by Last-Event-ID. The ids of events are
 * sealed together with what the answer is owed, so an answer that comes by a later stream, at any replica, is settled
 * as it would have been on its own, and nobody reads past that.
 */
import type { DecisionId } from '#contracts/ids.ts';
import type { Obligation } from '#contracts/policy.ts';

import { type Seal, WRAPPED_CHARS_MAX } from '../seal.ts';
import type { RequestId } from './message.ts';
import type { Session } from './session.ts';

/** What has to happen to the answer of an allowed call, by the decision that allowed it. */
export interface Owed {
  /** Of the request. */
  readonly id: RequestId;
  readonly decisionId: DecisionId;
  /** RFC 3339 */
  readonly validUntil: string;
  readonly obligations: readonly Obligation[];
}

/** A place in a stream of an upstream. */
export interface Cursor {
  /** As the upstream knows it. */
  readonly eventId: string;
  /** Of the call whose stream it is; null for a stream that answers none. */
  readonly owed: Owed | null;
}

/** How long after an event its stream can be taken up, and how long a call is waited for whose stream ended early. */
const RESUME_MS = 60_000;
const PURPOSE = 'mcp event';

/** The event id for the agent; '' for an upstream's id that is too long to be sealed. */
export function sealCursor(seal: Seal, session: Session, { eventId, owed }: Cursor): string {
  const text = JSON.stringify([session.name, Date.now() + RESUME_MS, eventId, owed]);
  const sealed = seal.wrap(PURPOSE, text);
  return sealed.length > WRAPPED_CHARS_MAX ? '' : sealed;
}

/** The place of an id that we gave out in this session, undefined for all else. Untrusted input. */
export function openCursor(seal: Seal, session: Session, id: string): Cursor | undefined {
  const text = seal.unwrap(PURPOSE, id);
  if (text === undefined) return undefined;
  // Sealed by us.
  const [name, expiresAt, eventId, owed] = JSON.parse(text) as [
    string,
    number,
    string,
    Owed | null,
  ];
  return name === session.name && Date.now() <= expiresAt ? { eventId, owed } : undefined;
}

/** Calls whose stream ended early, until somebody comes for the answer or nobody can any more. */
export interface Unresumed {
  /**
   * A call's stream is read here, for as long as an answer may take and whether or not its client is still there.
   * Many servers give a stream to one reader at a time. @returns to be called when nothing is read any more
   */
  readonly reads: (decisionId: DecisionId, stop: () => void) => () => void;
  /** Somebody came for the answer: who still reads the stream here stops. */
  readonly takesUp: (decisionId: DecisionId) => void;
  /** @param giveUp records that nobody knows what became of the call; called at most once */
  readonly expect: (decisionId: DecisionId, giveUp: () => Promise<void>) => void;
  /** The answer came after all. */
  readonly settled: (decisionId: DecisionId) => void;
  /** Gives all of them up. */
  readonly close: () => Promise<void>;
}

export function createUnresumed(): Unresumed {
  const waiting = new Map<DecisionId, { timer: NodeJS.Timeout; giveUp: () => Promise<void> }>();
  const readers = new Map<DecisionId, () => void>();
  const settled = (decisionId: DecisionId): void => {
    clearTimeout(waiting.get(decisionId)?.timer);
    waiting.delete(decisionId);
  };
  return {
    reads: (decisionId, stop) => {
      readers.set(decisionId, stop);
      return () => readers.delete(decisionId);
    },
    takesUp: (decisionId) => readers.get(decisionId)?.(),
    settled,
    expect: (decisionId, giveUp) => {
      settled(decisionId);
      const timer = setTimeout(() => {
        waiting.delete(decisionId);
        void giveUp();
      }, RESUME_MS);
      waiting.set(decisionId, { timer, giveUp });
    },
    close: async () => {
      const rest = [...waiting];
      for (const [decisionId] of rest) settled(decisionId);
      await Promise.all(rest.map(([, { giveUp }]) => giveUp()));
    },
  };
}
