/**
 * What the ingress knows of held calls: their entries in bucket `approvals`, heard as they are written, and the calls
 * themselves, asked of approval-escalation. It only tells states; whether a call is released a worker decides anew.
 */
import { APPROVAL_KEYS, type ApprovalEntry, heldAs, peekEntry } from '#contracts/approval.ts';
import {
  type HeldAsk,
  type HeldCall,
  type HeldReply,
  parseHeldReply,
  type WaitingCall,
} from '#contracts/held.ts';
import type { ApprovalId, TenantId } from '#contracts/ids.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import type { Bus, KV } from '#host/nats.ts';
import { NotAnswered, type SignedRequest } from '#host/signed-request.ts';

/** A held call as its agent names it. */
export interface HeldPlace {
  readonly tenant: TenantId;
  readonly approval: ApprovalId;
}

export interface HeldCalls {
  /** Its entry, undefined while it is not stored yet (or there is none). */
  readonly entry: (place: HeldPlace) => Promise<ApprovalEntry | undefined>;
  /** The same, but waits at most `maxMs` for it to be something else than pending. */
  readonly settled: (
    place: HeldPlace,
    maxMs: number,
    signal: AbortSignal,
  ) => Promise<ApprovalEntry | undefined>;
  /** The call itself, for its own principal; undefined where nobody can say it now. */
  readonly call: (place: HeldPlace, principal: string) => Promise<HeldCall | undefined>;
  /** What waits of a principal's calls; undefined where nobody can say it now. */
  readonly mine: (
    tenant: TenantId,
    principal: string,
  ) => Promise<readonly WaitingCall[] | undefined>;
  /** Its own principal does not want it any more. */
  readonly withdraw: (place: HeldPlace, principal: string) => Promise<void>;
}

/** A write that was not heard is found by looking again. */
const LOOK_MS = 2_000;
/** Who only wants to see what waits does not wait long for it. */
const MINE_MS_MAX = 1_000;
/** Requests that wait at once; more are answered without a wait. */
const WAITING_MAX = 10_000;

type Listener = (entry: ApprovalEntry) => void;

export async function watchHeld(bus: Bus, request: SignedRequest): Promise<HeldCalls> {
  const entries: KV = await bus.bucket('approvals');
  const listeners = new Map<string, Set<Listener>>();
  // What is written is heard before a read of the bucket would find it.
  bus.subscribe(APPROVAL_KEYS.idSubjects, {}, (message) => {
    const waiting = listeners.get(message.subject);
    const entry = waiting === undefined ? undefined : peekEntry(message.string());
    if (entry !== undefined) for (const tell of waiting ?? []) tell(entry);
  });

  const entry: HeldCalls['entry'] = async ({ tenant, approval }) => {
    const stored = await entries.get(APPROVAL_KEYS.id(tenant, approval));
    return stored?.operation === 'PUT' ? peekEntry(stored.string()) : undefined;
  };

  const settled: HeldCalls['settled'] = async (place, maxMs, signal) => {
    const deadline = performance.now() + maxMs;
    const subject = APPROVAL_KEYS.idSubject(place.tenant, place.approval);
    if (listeners.size >= WAITING_MAX) return entry(place);
    const hearing = listen(listeners, subject, signal);
    try {
      let known = await entry(place);
      while (isPending(known) && performance.now() < deadline && !signal.aborted) {
        const heard = await hearing.next(Math.min(LOOK_MS, deadline - performance.now()));
        known = heard ?? (await entry(place)) ?? known;
      }
      return known;
    } finally {
      hearing.stop();
    }
  };

  const ask = async <Name extends 'call' | 'withdraw'>(
    name: Name,
    { tenant, approval }: HeldPlace,
    principal: string,
  ): Promise<HeldReply<Name> | undefined> => {
    const body: HeldAsk = { v: 1, at: Date.now(), ask: name, approval, principal };
    const reply = await request(SUBJECTS.held(tenant), JSON.stringify(body)).catch(unanswered);
    return reply === undefined ? undefined : parseHeldReply<Name>(reply);
  };

  return {
    entry,
    settled,
    call: async (place, principal) => {
      const reply = await ask('call', place, principal);
      return reply?.ok === true ? reply.value : undefined;
    },
    mine: async (tenant, principal) => {
      const body: HeldAsk = { v: 1, at: Date.now(), ask: 'mine', principal };
      const reply = await request(SUBJECTS.held(tenant), JSON.stringify(body), {
        timeoutMs: MINE_MS_MAX,
      }).catch(unanswered);
      const said = reply === undefined ? undefined : parseHeldReply<'mine'>(reply);
      return said?.ok === true ? said.value : undefined;
    },
    withdraw: async (place, principal) => void (await ask('withdraw', place, principal)),
  };
}

const isPending = (entry: ApprovalEntry | undefined): boolean =>
  entry === undefined || heldAs(entry, Date.now()) === 'pending';

function unanswered(error: unknown): undefined {
  if (!(error instanceof NotAnswered)) throw error;
}

/** Hears of one held call until stopped; what was heard between two looks is not lost. */
function listen(
  listeners: Map<string, Set<Listener>>,
  subject: string,
  signal: AbortSignal,
): {
  readonly next: (maxMs: number) => Promise<ApprovalEntry | undefined>;
  readonly stop: () => void;
} {
  let heard: ApprovalEntry | undefined;
  let wake: () => void = () => undefined;
  const tell: Listener = (entry) => {
    heard = entry;
    wake();
  };
  const stopWaiting = (): void => wake();
  signal.addEventListener('abort', stopWaiting);
  const set = listeners.get(subject) ?? new Set();
  listeners.set(subject, set.add(tell));
  return {
    next: async (maxMs) => {
      if (heard === undefined && !signal.aborted) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, maxMs);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
      const entry = heard;
      heard = undefined;
      return entry;
    },
    stop: () => {
      signal.removeEventListener('abort', stopWaiting);
      set.delete(tell);
      if (set.size === 0) listeners.delete(subject);
    },
  };
}
