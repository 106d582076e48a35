/**
 * Looks after what delivery leaves: events of erased calls are emptied, calls whose every channel is dead end as `no_channel`, and channels that went down
 * or work again become alerts. Postgres is asked again and again, so a crash between two steps loses nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import type pg from 'pg';

import { type HeldReply, parseHeldReply } from '#contracts/held.ts';
import { asApprovalId, parseTenantId, type TenantId } from '#contracts/ids.ts';
import { SUBJECTS } from '#contracts/subjects.ts';
import type { DatabaseWatch } from '#host/database-watch.ts';
import type { Logger } from '#host/log.ts';
import type { SignedRequest } from '#host/signed-request.ts';

import type { RaiseAlert } from './alerts.ts';
import type { ChannelStates } from './channel-states.ts';
import { eraseNotices, readStranded, settle } from './store.ts';

export interface WatchParts {
  readonly pool: pg.Pool;
  readonly database: DatabaseWatch;
  readonly states: ChannelStates;
  readonly request: SignedRequest;
  readonly alert: RaiseAlert;
  readonly log: Logger;
  readonly now: () => number;
}

const PASS_MS = 250;
const ERASE_MS = 5_000;

/** Looks until closed. */
export function startWatch(parts: WatchParts): { readonly close: () => Promise<void> } {
  const stopping = new AbortController();
  let erasedAt = -ERASE_MS;
  const loop = async () => {
    while (!stopping.signal.aborted) {
      try {
        if (await parts.database.waitUsable(PASS_MS)) {
          await pass(parts);
          if (performance.now() - erasedAt >= ERASE_MS) {
            await eraseNotices(parts.pool);
            erasedAt = performance.now();
          }
        }
      } catch (error) {
        if (!stopping.signal.aborted) parts.log.warn({ err: error }, 'dead letters wait');
      }
      await sleep(PASS_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  };
  const running = loop();
  return {
    close: async () => {
      stopping.abort();
      await running;
    },
  };
}

async function pass(parts: WatchParts): Promise<void> {
  const { pool, states, alert } = parts;
  for (const state of await states.untold()) {
    const { tenant, channel, down, fault, changed_at: changedAt } = state;
    await alert({
      tenant: tenantOf(tenant),
      action: down ? 'channel_down' : 'channel_works',
      target: channel,
      reason: fault,
      name: `notifier.${tenant}.${channel}.${changedAt}`,
    });
    await states.told(state);
  }
  for (const call of await readStranded(pool)) {
    if (call.unreached) await strand(parts, call);
    await settle(pool, call);
  }
}

/** @throws when nobody answers: it is asked again */
async function strand(
  { request, alert, log, now }: WatchParts,
  { tenant: whose, approval }: { readonly tenant: string; readonly approval: string },
): Promise<void> {
  const tenant = tenantOf(whose);
  const ask = { v: 1, at: now(), ask: 'unreached', approval: asApprovalId(approval) };
  const reply: HeldReply<'unreached'> = parseHeldReply<'unreached'>(
    await request(SUBJECTS.held(tenant), JSON.stringify(ask)),
  );
  if (!reply.ok && (reply.fault === 'unavailable' || reply.fault === 'malformed'))
    throw new Error(`approval-escalation: ${reply.fault}`);
  if (!reply.ok || reply.value.state !== 'no_channel') return;
  log.error({ tenant, approval }, 'nobody could be reached');
  await alert({
    tenant,
    action: 'nobody_reached',
    target: approval,
    reason: 'every channel is dead',
    name: `notifier.${tenant}.${approval}`,
  });
}

function tenantOf(text: string): TenantId {
  const tenant = parseTenantId(text);
  if (tenant === undefined) throw new Error('not a tenant'); // rows are made of checked events only
  return tenant;
}
