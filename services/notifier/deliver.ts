/** Sends what is due until closed. Postgres is asked again and again, so nothing is lost with this process. */
import { setTimeout as sleep } from 'node:timers/promises';

import type pg from 'pg';

import type { DatabaseWatch } from '#host/database-watch.ts';
import type { Logger } from '#host/log.ts';
import { counter } from '#host/metrics.ts';

import { newNonce, nonceHash } from './buttons.ts';
import type { Channels } from './channels.ts';
import { type Post, TargetRefused, Unsure } from './outgoing.ts';
import { pagerduty } from './pagerduty.ts';
import { slack } from './slack.ts';
import { claim, type Claimed, keepNonce, markDead, markLater, markSent, pause } from './store.ts';
import { teams } from './teams.ts';
import type { Result, Vendor } from './vendor.ts';
import { webhook } from './webhook.ts';

const VENDORS = { slack, webhook, pagerduty, teams } as const satisfies Record<string, Vendor>;

const PASS_MS = 250;
/** Longer than an answer may take: after this the process that took it is gone. */
const LEASE_MS = 20_000;
const ATTEMPTS_MAX = 16;
const BACK_OFF_MS = 500;
const BACK_OFF_MS_MAX = 300_000;
/** Once may be a repeat that says so; twice would not be honest any more. */
const UNSURE_MAX = 1;

export interface DeliverParts {
  readonly pool: pg.Pool;
  readonly database: DatabaseWatch;
  readonly channels: Channels;
  readonly post: Post;
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
  let wake: () => void = () => undefined;
  const loop = async () => {
    while (!stopping.signal.aborted) {
      try {
        if (await parts.database.waitUsable(PASS_MS)) {
          const due = await claim(parts.pool, parts.now(), LEASE_MS);
          await Promise.all(due.map((notice) => deliver(parts, notice)));
          if (due.length > 0) continue;
        }
      } catch (error) {
        if (!stopping.signal.aborted) parts.log.warn({ err: error }, 'notices wait');
      }
      const pausing = new AbortController();
      wake = () => pausing.abort();
      const signal = AbortSignal.any([stopping.signal, pausing.signal]);
      await sleep(PASS_MS, undefined, { signal }).catch(() => undefined);
    }
  };
  const running = loop();
  return {
    wake: () => wake(),
    close: async () => {
      stopping.abort();
      await running;
    },
  };
}

async function deliver(parts: DeliverParts, notice: Claimed): Promise<void> {
  const { pool, channels, now, log } = parts;
  const { tenant, approval, attempts } = notice;
  const channel = channels.of(tenant, notice.channel);
  const kind = channel?.kind ?? 'none';
  const result = await send(parts, notice);
  told.add(1, { kind, result: result.is });
  if (result.is === 'sent') return markSent(pool, notice, result.standing);
  const { fault } = result;
  log.warn({ tenant, approval, channel: notice.channel, fault, attempts }, 'not told');
  if (result.is === 'never' || attempts >= ATTEMPTS_MAX) return markDead(pool, notice, fault);
  const at = now() + Math.max(result.afterMs, backOffMs(attempts));
  if (result.afterMs > 0) await pause(pool, notice, at);
  return markLater(pool, notice, { at, fault, sure: !result.unsure });
}

const backOffMs = (attempts: number): number =>
  Math.round(
    Math.min(BACK_OFF_MS * 2 ** (attempts - 1), BACK_OFF_MS_MAX) * (0.75 + Math.random() / 2),
  );

type Sent =
  | Exclude<Result, { is: 'later' }>
  | (Extract<Result, { is: 'later' }> & { readonly unsure: boolean });

async function send(parts: DeliverParts, notice: Claimed): Promise<Sent> {
  const { pool, channels, post, now } = parts;
  const { tenant, approval, standing, unsure } = notice;
  const channel = channels.of(tenant, notice.channel);
  if (channel === undefined) return { is: 'never', fault: 'there is no such channel' };
  const vendor: Vendor = VENDORS[channel.kind];
  if (unsure > UNSURE_MAX && !vendor.repeatable(notice, standing))
    return { is: 'never', fault: 'nobody knows whether it arrived' };
  const nonce = newNonce();
  try {
    const outgoing = await vendor.make(notice, {
      channel,
      standing,
      nonce,
      link: channels.link(tenant, approval),
      secret: async (what) => (await channels.secrets(tenant, channel.name, what))[0] ?? '',
      now: now(),
    });
    if (outgoing === undefined) return { is: 'sent' };
    // Not every message has buttons; those of the one before stay good then.
    if (outgoing.body.includes(nonce)) await keepNonce(pool, notice, nonceHash(nonce));
    const answer = await post(outgoing);
    await parts.afterPost?.();
    const result = vendor.read(answer, now());
    return result.is === 'later' ? { ...result, unsure: false } : result;
  } catch (error) {
    const fault = (error as Error).message;
    if (error instanceof TargetRefused) return { is: 'never', fault };
    // Without its secret a channel may be half set up: it is asked again, like one that is away.
    return { is: 'later', afterMs: 0, fault, unsure: error instanceof Unsure };
  }
}
