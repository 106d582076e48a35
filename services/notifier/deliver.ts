/** Sends what is due until closed. Postgres is asked again and again, so nothing is lost with this process. */
import { setTimeout as sleep } from 'node:timers/promises';

import type { DatabaseWatch } from '#host/database-watch.ts';
import type { Logger } from '#host/log.ts';
import { counter } from '#host/metrics.ts';

import { nonceHash, nonceOf } from './buttons.ts';
import type { ChannelStates } from './channel-states.ts';
import type { Channels } from './channels.ts';
import { type InMessage, inMessage } from './grouping.ts';
import { type Post, TargetRefused, Unsure } from './outgoing.ts';
import { createPace, type Pace } from './pace.ts';
import {
  claim,
  type Claimed,
  keepNonces,
  markDead,
  markLater,
  markSent,
  type NoticeStore,
  readMessage,
  type SentAs,
} from './store.ts';
import type { Result, Vendor } from './vendor.ts';
import { VENDORS } from './vendors.ts';

const PASS_MS = 250;
const AT_ONCE = 16;
/** Longer than an answer may take: after this the process that took it is gone. */
const LEASE_MS = 20_000;
const ATTEMPTS_MAX = 16;
const BACK_OFF_MS = 500;
const BACK_OFF_MS_MAX = 300_000;
/** So many failures in a row, some seconds, and the channel counts as down. */
const DOWN_AFTER = 5;
/** Once may be a repeat that says so; twice would not be honest any more. */
const UNSURE_MAX = 1;

export interface DeliverParts extends NoticeStore {
  readonly database: DatabaseWatch;
  readonly channels: Channels;
  readonly post: Post;
  readonly states: Pick<ChannelStates, 'failed' | 'worked'>;
  /** Makes the words of buttons. */
  readonly key: Uint8Array;
  readonly log: Logger;
  readonly now: () => number;
  /** For crash tests. */
  readonly afterPost?: () => Promise<void>;
}

export interface Delivering {
  /** Something is due now. */
  readonly wake: () => void;
  readonly close: () => Promise<void>;
}

const told = counter<{ kind: string; result: string }>(
  'countersign_notices',
  'Messages about held calls, by kind of channel and result.',
);

export function startDelivery(parts: DeliverParts): Delivering {
  const stopping = new AbortController();
  const pace = createPace(parts.now);
  let pausing = new AbortController();
  const loop = async () => {
    while (!stopping.signal.aborted) {
      pausing = new AbortController(); // before it looks: what comes meanwhile is looked for at once
      try {
        if (await parts.database.waitUsable(PASS_MS)) {
          const due = await claimDue(parts, pace);
          await Promise.all(due.map((notice) => deliver(parts, pace, notice)));
          if (due.length > 0) continue;
        }
      } catch (error) {
        if (!stopping.signal.aborted) parts.log.warn({ err: error }, 'notices wait');
      }
      const signal = AbortSignal.any([stopping.signal, pausing.signal]);
      await sleep(PASS_MS, undefined, { signal }).catch(() => undefined);
    }
  };
  const running = loop();
  return {
    wake: () => pausing.abort(),
    close: async () => {
      stopping.abort();
      await running;
    },
  };
}

/** What may be sent now: many at once, but one where a channel is slow. */
async function claimDue(parts: DeliverParts, pace: Pace): Promise<Claimed[]> {
  const slow = pace.slow();
  const lease = { now: parts.now(), leaseMs: LEASE_MS };
  const not = slow.map(({ place }) => place);
  const due = await claim(parts, lease, { channels: not, of: 'others', most: AT_ONCE });
  for (const { place, isTime } of slow) {
    if (isTime)
      due.push(...(await claim(parts, lease, { channels: [place], of: 'these', most: 1 })));
  }
  return due;
}

async function deliver(parts: DeliverParts, pace: Pace, notice: Claimed): Promise<void> {
  const { pool, channels, log, states } = parts;
  const { tenant, approval, attempts } = notice;
  const channel = channels.of(tenant, notice.channel);
  const kind = channel?.kind ?? 'none';
  const result = await send(parts, notice);
  told.add(1, { kind, result: result.is });
  if (result.is === 'sent') {
    await markSent(pool, notice, result.as);
    if (!result.posted) return;
    pace.sent(notice);
    return states.worked(notice);
  }
  const { fault } = result;
  log.warn({ tenant, approval, channel: notice.channel, fault, attempts }, 'not told');
  if (result.is === 'never') await markFailed(parts, notice, result);
  else await retry(parts, pace, notice, result);
}

type Never = Extract<Result, { is: 'never' }>;

async function markFailed(
  { pool, states }: DeliverParts,
  notice: Claimed,
  { fault, alone }: Pick<Never, 'fault' | 'alone'>,
): Promise<void> {
  if (alone !== true) await states.failed(notice, fault);
  await markDead(pool, notice, fault);
}

async function retry(
  parts: DeliverParts,
  pace: Pace,
  notice: Claimed,
  { afterMs, fault, unsure }: Extract<Sent, { is: 'later' }>,
): Promise<void> {
  const { pool, now, states } = parts;
  const { attempts } = notice;
  if (afterMs > 0) pace.slowed(notice, afterMs);
  // One that takes others has more to do than it can: that is no failure, of it or of this notice.
  if (afterMs > 0 && pace.works(notice)) {
    return markLater(pool, notice, { at: now() + afterMs, fault, sure: true, counts: false });
  }
  if (attempts >= ATTEMPTS_MAX) return markFailed(parts, notice, { fault });
  if (attempts >= DOWN_AFTER) await states.failed(notice, fault);
  const at = now() + Math.max(afterMs, backOffMs(attempts));
  return markLater(pool, notice, { at, fault, sure: !unsure, counts: true });
}

const backOffMs = (attempts: number): number =>
  Math.round(
    Math.min(BACK_OFF_MS * 2 ** (attempts - 1), BACK_OFF_MS_MAX) * (0.75 + Math.random() / 2),
  );

type Sent =
  | { readonly is: 'sent'; readonly posted: boolean; readonly as: SentAs }
  | Never
  | (Extract<Result, { is: 'later' }> & { readonly unsure: boolean });

async function send(parts: DeliverParts, notice: Claimed): Promise<Sent> {
  const { pool, channels, post, now } = parts;
  const { tenant, standing, unsure } = notice;
  const channel = channels.of(tenant, notice.channel);
  if (channel === undefined) {
    if (notice.kind === 'ask') return { is: 'never', fault: 'there is no such channel' };
    return { is: 'sent', posted: false, as: { covered: [notice], calls: [], standing: undefined } };
  }
  const vendor: Vendor = VENDORS[channel.kind];
  const within = vendor.groups
    ? inMessage(notice, await readMessage(parts, notice))
    : { calls: [notice], again: false, covered: [notice] };
  if (unsure > UNSURE_MAX && !vendor.repeatable(notice, { ...within, standing }))
    return { is: 'never', fault: 'nobody knows whether it arrived', alone: true };
  const nonces = new Map<string, string>();
  try {
    const outgoing = await vendor.make(notice, {
      channel,
      ...within,
      standing,
      nonce: (call) => {
        const nonce = nonceOf(parts.key, notice, call);
        nonces.set(call.approval, nonceHash(nonce));
        return nonce;
      },
      link: (approval) => channels.link(tenant, approval),
      secret: async (what) => (await channels.secrets(tenant, channel.name, what))[0] ?? '',
      now: now(),
    });
    if (outgoing === undefined)
      return { is: 'sent', posted: false, as: sentAs(notice, { ...within, covered: [notice] }) };
    // Not every message has buttons; those of the one before stay good then.
    if (nonces.size > 0) await keepNonces(pool, notice, nonces);
    const answer = await post(outgoing);
    await parts.afterPost?.();
    const result = vendor.read(answer, now());
    if (result.is === 'never') return result;
    return result.is === 'later'
      ? { ...result, unsure: false }
      : { is: 'sent', posted: true, as: sentAs(notice, within, result.standing) };
  } catch (error) {
    const fault = (error as Error).message;
    if (error instanceof TargetRefused) return { is: 'never', fault };
    // Without its secret a channel may be half set up: it is asked again, like one that is away.
    return { is: 'later', afterMs: 0, fault, unsure: error instanceof Unsure };
  }
}

const sentAs = (
  { lead }: Claimed,
  { covered, calls }: Pick<InMessage, 'calls'> & Pick<SentAs, 'covered'>,
  standing?: SentAs['standing'],
): SentAs => ({
  covered,
  calls: [...new Set([lead, ...calls.map(({ approval }) => approval)])],
  standing,
});
