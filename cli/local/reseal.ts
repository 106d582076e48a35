// Seals anew what stands in Postgres under another key than the newest, or was stored before contents were sealed. Safe
// while the system runs, and stopped anywhere: each content is readable before and after.

import pg from 'pg';

import type { AtRest, ContentPlace } from '#host/at-rest.ts';

import type { Rebuilt } from './rebuild.ts';
import type { DatabaseRole } from './secrets.ts';

const PAGE = 500;

/** A sealed column: whose it is, and how its rows are named (services/host/at-rest.ts, ContentPlace). */
interface SealedColumn {
  readonly table: ContentPlace['table'];
  readonly role: DatabaseRole;
  readonly column: string;
  /** Expression for the name of a row `t`, and the condition under which it is the one named `k.id`. */
  readonly id: string;
  readonly match: string;
}

const ofHeldCall = (column: string): SealedColumn => ({
  table: 'approvals',
  role: 'countersign_approvals',
  column,
  id: `t.id || ' ${column}'`,
  match: `t.id = split_part(k.id, ' ', 1)`,
});

const stepOf = (id: string): Pick<SealedColumn, 'id' | 'match'> => ({
  id: `${id} || ' ' || t.step`,
  match: `${id} = split_part(k.id, ' ', 1) and t.step = split_part(k.id, ' ', 2)::int`,
});

const SEALED: readonly SealedColumn[] = [
  {
    table: 'payloads',
    role: 'countersign_chainer',
    column: 'body',
    id: 't.sequence::text',
    match: 't.sequence = k.id::bigint',
  },
  ...['payload', 'progress', 'facts'].map(ofHeldCall),
  {
    table: 'approval_events',
    role: 'countersign_approvals',
    column: 'payload',
    ...stepOf('t.id'),
  },
  { table: 'notices', role: 'countersign_notifier', column: 'event', ...stepOf('t.approval') },
];

/** @param urlOf address of the database as a role @param repair false = only count */
export async function resealContents(
  urlOf: (role: DatabaseRole) => string,
  atRest: AtRest,
  repair: boolean,
): Promise<Rebuilt> {
  const sum = { looked: 0, different: 0, unreadable: 0, first: [] as string[] };
  for (const sealed of SEALED) {
    const client = new pg.Client({ connectionString: urlOf(sealed.role) });
    await client.connect();
    try {
      const { looked, different, unreadable } = await resealColumn(client, sealed, {
        atRest,
        repair,
      });
      sum.looked += looked;
      sum.different += different;
      sum.unreadable += unreadable;
      if (different > 0) sum.first.push(`${different} of ${sealed.table}.${sealed.column}`);
    } finally {
      await client.end();
    }
  }
  return { projection: 'contents', missing: 0, extra: 0, ...sum };
}

type Place = Pick<ContentPlace, 'tenant' | 'id'>;

async function resealColumn(
  client: pg.Client,
  sealed: SealedColumn,
  { atRest, repair }: { readonly atRest: AtRest; readonly repair: boolean },
): Promise<Pick<Rebuilt, 'looked' | 'different' | 'unreadable'>> {
  const { table, column, id } = sealed;
  const all = await client.query<{ count: string }>(`select count(*) from ${table}`);
  // Names only, of one moment: what is written from then on is under the newest key.
  await client.query(
    `declare older no scroll cursor with hold for select distinct t.tenant, ${id} as id from ${table} t
     where length(${column}) > 0
       and substring(${column} from 1 for ${atRest.newest.length}) <> '\\x${atRest.newest.toString('hex')}'`,
  );
  let different = 0;
  let unreadable = 0;
  for (;;) {
    const { rows } = await client.query<Place>(`fetch ${PAGE} from older`);
    if (rows.length === 0) break;
    different += rows.length;
    unreadable += await resealPage(client, sealed, { places: rows, atRest, repair });
  }
  return { looked: Number(all.rows[0]?.count ?? 0), different, unreadable };
}

/** Gives how many no key opens: they stay as they are, for whoever has the key. */
async function resealPage(
  client: pg.Client,
  { table, column, match }: SealedColumn,
  {
    places,
    atRest,
    repair,
  }: { readonly places: readonly Place[]; readonly atRest: AtRest; readonly repair: boolean },
): Promise<number> {
  const names = [places.map(({ tenant }) => tenant), places.map(({ id }) => id)];
  const { rows } = await client.query<Place & { readonly was: Buffer }>(
    `select distinct k.tenant, k.id, t.${column} as was
     from unnest($1::text[], $2::text[]) as k (tenant, id) join ${table} t on t.tenant = k.tenant and ${match}`,
    names,
  );
  const anew = rows.flatMap(({ was, ...place }) => {
    try {
      const text = atRest.open(was, { table, ...place });
      return [{ ...place, was, content: atRest.seal(text, { table, ...place }) }];
    } catch {
      return [];
    }
  });
  if (repair) {
    await client.query('begin');
    await client.query(`select set_config('app.resealing', 'on', true)`);
    await client.query(
      `update ${table} t set ${column} = k.content
       from unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[]) as k (tenant, id, was, content)
       where t.tenant = k.tenant and ${match} and t.${column} = k.was`,
      [
        anew.map(({ tenant }) => tenant),
        anew.map(({ id }) => id),
        anew.map(({ was }) => was),
        anew.map(({ content }) => content),
      ],
    );
    await client.query('commit');
  }
  return rows.length - anew.length;
}
