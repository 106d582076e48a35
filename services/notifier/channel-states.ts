/**
 * Which channels are down. Postgres knows it, so an alert is told once whoever found out and whatever died since; a
 * channel is down from a dead letter or some failures in a row until something is sent there.
 */
import type pg from 'pg';

import type { Notice } from './vendor.ts';

export interface ChannelState {
  readonly tenant: string;
  readonly channel: string;
  readonly down: boolean;
  /** Milliseconds UTC. */
  readonly changed_at: number;
  readonly fault: string;
}

type Place = Pick<Notice, 'tenant' | 'channel'>;

export interface ChannelStates {
  readonly failed: (place: Place, fault: string) => Promise<void>;
  readonly worked: (place: Place) => Promise<void>;
  /** How many are down, as far as this process knows. */
  readonly down: () => number;
  /** Changes that the chain does not have yet; reads anew what is down. */
  readonly untold: () => Promise<ChannelState[]>;
  readonly told: (state: ChannelState) => Promise<void>;
}

export function channelStates(pool: pg.Pool, now: () => number): ChannelStates {
  const known = new Set<string>();
  const keyOf = ({ tenant, channel }: Place) => `${tenant}/${channel}`;
  const change = (down: boolean, fault: string, { tenant, channel }: Place) =>
    pool.query(
      `insert into notice_channels (tenant, channel, down, changed_at, fault)
       select $1::text, $2::text, $3::boolean, $4::bigint, $5::text where $3
         or exists (select from notice_channels where tenant = $1 and channel = $2)
       on conflict (tenant, channel) do update
       set down = excluded.down, changed_at = excluded.changed_at, fault = excluded.fault, told = false
       where notice_channels.down <> excluded.down`,
      [tenant, channel, down, now(), fault],
    );
  return {
    failed: async (place, fault) => {
      if (known.has(keyOf(place))) return;
      await change(true, fault, place);
      known.add(keyOf(place));
    },
    worked: async (place) => {
      if (!known.has(keyOf(place))) return;
      await change(false, '', place);
      known.delete(keyOf(place));
    },
    down: () => known.size,
    untold: async () => {
      const { rows } = await pool.query<ChannelState & { told: boolean }>(
        'select * from notice_channels where down or not told',
      );
      known.clear();
      for (const row of rows) if (row.down) known.add(keyOf(row));
      return rows.filter(({ told }) => !told);
    },
    told: async ({ tenant, channel, changed_at: changedAt }) => {
      await pool.query(
        `update notice_channels set told = true
         where tenant = $1 and channel = $2 and changed_at = $3`,
        [tenant, channel, changedAt],
      );
    },
  };
}
