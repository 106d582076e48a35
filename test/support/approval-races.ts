// Many races for held calls, two dozen at once, on a real broker and a real database.

import { randomBytes } from 'node:crypto';

import pg from 'pg';

import { DATABASE, prepareDatabase } from '#cli/local/database.ts';
import { atRest as atRestBy } from '#host/at-rest.ts';
import { readMacKeys } from '#host/keys.ts';
import { createLog } from '#host/log.ts';
import { recordPublisher } from '#host/publish.ts';

import { untold } from '../../services/approval-escalation/store.ts';
import { createTell, type TellParts } from '../../services/approval-escalation/tell.ts';
import { approvalEntries } from '../../services/decision-worker/points/approvals.ts';
import { createRecorder } from '../../services/decision-worker/recorder.ts';
import { migrateDatabase } from '../../services/migrate/database.ts';
import { race, type RaceParts } from './approval-race.ts';
import { startPostgres } from './servers.ts';
import { startWorld } from './world.ts';

const AT_ONCE = 24;
/** A machine that stalls for seconds is no race. */
const PATIENCE_MS = 60_000;
const log = createLog('test', 'silent');

/** What was seen so far. */
export interface Tally {
  done: number;
  released: number;
  readonly faults: string[];
}

/** What is stored after all of them, to be compared with what was seen. */
export interface Stored {
  /** Steps that no stream was told of. */
  readonly untold: number;
  /** Steps in the database, and events on APPROVALS. */
  readonly steps: number;
  readonly events: number;
  /** Recorded uses. */
  readonly uses: number;
}

/** Runs so many races; `roll` makes the racers' choices. */
export async function runRaces(
  races: number,
  roll: RaceParts['roll'],
  onRace: (tally: Tally) => void,
): Promise<Tally & Stored> {
  const { parts, stored, close } = await startRaces(roll);
  try {
    const tally: Tally = { done: 0, released: 0, faults: [] };
    let left = races;
    const lane = async () => {
      while (left-- > 0) {
        const { released, fault } = await race(parts);
        tally.done += 1;
        tally.released += released;
        if (fault !== '') tally.faults.push(fault);
        onRace(tally);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
    return { ...tally, ...(await stored()) };
  } finally {
    await close();
  }
}

interface Races {
  readonly parts: RaceParts;
  readonly stored: () => Promise<Stored>;
  readonly close: () => Promise<void>;
}

async function startRaces(roll: RaceParts['roll']): Promise<Races> {
  const [world, postgres] = await Promise.all([
    startWorld({ workers: 0 }),
    startPostgres({ own: true }),
  ]);
  for (const stream of ['APPROVALS', 'DECISIONS', 'KV_approvals']) {
    await world.operator.jsm.streams.update(stream, { max_bytes: -1 }); // a long run stores much
  }
  const atRest = atRestBy([randomBytes(32)]);
  const connectionString = await databaseUrl(postgres.adminUrl);
  const pool = new pg.Pool({
    connectionString,
    max: AT_ONCE,
    connectionTimeoutMillis: PATIENCE_MS,
  });
  const keys = readMacKeys(world.macKeysFile);
  const bus = await world.bus('approval-escalation');
  const publish = recordPublisher(bus, keys);
  const telling: TellParts = {
    pool,
    atRest,
    publish: (subject, text, options) =>
      publish(subject, text, { timeoutMs: PATIENCE_MS, ...options }),
    entries: await bus.bucket('approvals'),
    key: keys.get('approval-escalation')![0]!,
    keys,
  };
  const worker = await world.bus('decision-worker');
  return {
    parts: {
      whole: { pool, atRest, tell: createTell(telling), log, now: Date.now, telling },
      recorder: createRecorder(recordPublisher(worker, keys), PATIENCE_MS, () => []),
      entryOf: approvalEntries(await worker.bucket('approvals'), keys, log).entry,
      roll,
    },
    stored: async () => {
      const { rows } = await pool.query<{ steps: number }>(
        'select sum(step)::int as steps from approvals',
      );
      const { streams } = world.operator.jsm;
      const { state } = await streams.info('APPROVALS');
      const uses = await streams.info('DECISIONS', { subjects_filter: 'v1.use.>' });
      return {
        untold: (await untold(pool)).length,
        steps: rows[0]?.steps ?? 0,
        events: state.messages,
        uses: Object.values(uses.state.subjects ?? {}).reduce((sum, count) => sum + count, 0),
      };
    },
    close: async () => {
      await pool.end();
      await world.close();
      await postgres.stop();
    },
  };
}

async function databaseUrl(adminUrl: string): Promise<string> {
  const password = randomBytes(12).toString('hex');
  await prepareDatabase(adminUrl, () => password);
  const url = (role: string) => {
    const address = new URL(adminUrl);
    address.pathname = DATABASE;
    [address.username, address.password] = [role, password];
    return address.href;
  };
  await migrateDatabase(url('countersign_migrator'));
  return url('countersign_approvals');
}
