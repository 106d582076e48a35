/**
 * What happens by itself: time passes, a policy or a kill switch changes, a use gets its outcome, and what a crash left
 * untold is told. Postgres is asked again and again; nothing of this is remembered, so any number of processes may.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import type pg from 'pg';

import { bodyText } from '#contracts/chain.ts';
import { parseTenantId, PLATFORM, type TenantId } from '#contracts/ids.ts';
import type { ControlView } from '#host/control-view.ts';
import type { DatabaseWatch } from '#host/database-watch.ts';

import { eraseHeld } from './erase.ts';
import { overBy } from './over.ts';
import { inTenant } from './preview.ts';
import { type StepParts, take, tellOrLater } from './steps.ts';
import { awake, findByHandle, open, type Place, untold } from './store.ts';

const PASS_MS = 250;
const EFFECTS_MS = 1_000;
/** After this nobody will say any more what became of a released call. */
const UNKNOWN_AFTER_MS = 600_000;
const AT_ONCE = 8;
const DATABASE_WAIT_MS = 5_000;

export interface SweepParts extends StepParts {
  readonly view: ControlView;
  readonly database: DatabaseWatch;
}

export interface Sweeper {
  /** Ends a held call where the view says that it is over. */
  readonly reconsider: (tenant: TenantId, id: string) => Promise<void>;
  readonly close: () => Promise<void>;
}

/** Sweeps until closed. */
export function startSweeper(parts: SweepParts): Sweeper {
  const { view, pool, database, log } = parts;
  /** Tenants whose held calls have to be looked at anew; PLATFORM = all. */
  const changed = new Set<TenantId>([PLATFORM]);
  view.onChange((key) => {
    const [kind = '', whose = ''] = key.split('.');
    if (!['policy', 'switch', 'revocation'].includes(kind)) return;
    changed.add(whose === PLATFORM ? PLATFORM : (parseTenantId(whose) ?? PLATFORM));
  });
  const stopping = new AbortController();

  const reconsider = async (tenant: TenantId, id: string): Promise<void> => {
    const step = await overStep(parts, { tenant, id });
    if (step !== undefined) await take(parts, { tenant, id }, step);
  };

  const reconsiderChanged = async () => {
    const tenants = [...changed];
    changed.clear();
    try {
      for (const tenant of tenants.includes(PLATFORM) ? [undefined] : tenants) {
        const rows = await open(parts, tenant);
        const over = rows.filter((row) => overBy(row, view) !== undefined);
        await each(over, ({ tenant: whose, id }) => reconsider(whose, id));
      }
    } catch (error) {
      for (const tenant of tenants) changed.add(tenant);
      throw error;
    }
  };

  let effectsAt = 0;
  const pass = async () => {
    await reconsiderChanged();
    await each(await awake(pool, parts.now()), (place) => lookOrLater(parts, place));
    await each(await untold(pool), (place) => tellOrLater(parts, place));
    if (parts.now() < effectsAt) return;
    effectsAt = parts.now() + EFFECTS_MS;
    await noteEffects(parts);
    await eraseHeld(parts);
  };

  const loop = async () => {
    while (!stopping.signal.aborted) {
      try {
        if (await database.waitUsable(DATABASE_WAIT_MS)) await pass();
      } catch (error) {
        if (!stopping.signal.aborted) log.warn({ err: error }, 'a sweep was not finished');
      }
      await sleep(PASS_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  };
  const running = loop();
  return {
    reconsider,
    close: async () => {
      stopping.abort();
      await running;
    },
  };
}

async function overStep(parts: SweepParts, place: Place) {
  const row = await findByHandle(parts, place);
  return row === undefined ? undefined : overBy(row, parts.view);
}

async function each<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < items.length; from += AT_ONCE) {
    await Promise.all(items.slice(from, from + AT_ONCE).map(work));
  }
}

/** One call that cannot be looked at keeps nobody from the others. */
async function lookOrLater(parts: StepParts, place: Place): Promise<void> {
  await lookUntilNothing(parts, place).catch((error: unknown) =>
    parts.log.warn({ err: error, approval: place.id }, 'a held call was not looked at'),
  );
}

/** Everything that is due: after a time without this process several tiers may be. */
async function lookUntilNothing(parts: StepParts, place: Place): Promise<void> {
  for (;;) {
    const took = await take(parts, place, { is: 'look' });
    if (took === undefined || !('became' in took) || took.became !== 'changed') return;
  }
}

interface OpenUse extends Place {
  readonly k: number;
  readonly decision_id: string;
  readonly at: number;
}

/** Notes what became of released calls, from the chain: their outcome, or after a while that nobody knows. */
async function noteEffects(parts: StepParts): Promise<void> {
  const { pool, now, tell } = parts;
  const { rows } = await pool.query<OpenUse>(
    `select tenant, id, k, decision_id, at from approval_uses where effect = '' order by at limit 500`,
  );
  await each(rows, async (use) => {
    const status = await outcomeOf(pool, use);
    const effect = status === '' && now() - use.at > UNKNOWN_AFTER_MS ? 'unknown' : status;
    if (effect === '') return;
    await pool.query(
      'update approval_uses set effect = $4 where tenant = $1 and id = $2 and k = $3',
      [use.tenant, use.id, use.k, effect],
    );
    await tell(use);
  });
}

async function outcomeOf(
  pool: pg.Pool,
  { tenant, decision_id: decisionId }: OpenUse,
): Promise<string> {
  const { rows } = await inTenant(pool, tenant, (client) =>
    client.query<{ entry: string }>(
      `select entry from chain_rows where tenant = $1 and decision_id = $2 and decision_id <> ''
       and kind = 'outcome' order by source_stream = 'chainer', sequence limit 1`,
      [tenant, decisionId],
    ),
  );
  const entry = rows[0]?.entry;
  // A leaf that the chainer took as an outcome's.
  return entry === undefined ? '' : (JSON.parse(bodyText(entry)) as { status: string }).status;
}
