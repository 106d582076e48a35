// Seals anew what stands in Postgres under another key than the newest, or was stored before contents were sealed. Safe
// while the system runs, and stopped anywhere: each row is readable before and after.

import pg from 'pg';

import { type AtRest, payloadPlace } from '#host/at-rest.ts';

import type { Rebuilt } from './rebuild.ts';

const PAGE = 500;

interface Stored {
  readonly tenant: string;
  readonly sequence: string;
  readonly body: Buffer;
}

/** @param url of the chainer's role @param repair false = only count */
export async function resealPayloads(
  url: string,
  atRest: AtRest,
  repair: boolean,
): Promise<Rebuilt> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const all = await client.query<{ count: string }>('select count(*) from payloads');
    let different = 0;
    let unreadable = 0;
    let after: Pick<Stored, 'tenant' | 'sequence'> = { tenant: '', sequence: '0' };
    for (;;) {
      const { rows } = await client.query<Stored>(
        `select tenant, sequence::text, body from payloads
         where substring(body from 1 for ${atRest.newest.length}) <> $1 and (tenant, sequence) > ($2, $3)
         order by tenant, sequence limit ${PAGE}`,
        [atRest.newest, after.tenant, after.sequence],
      );
      const last = rows.at(-1);
      if (last === undefined) break;
      after = last;
      const anew = rows.flatMap((row) => sealedAnew(row, atRest));
      different += rows.length;
      unreadable += rows.length - anew.length;
      if (repair) await replace(client, anew);
    }
    return {
      projection: 'payloads',
      looked: Number(all.rows[0]?.count ?? 0),
      missing: 0,
      different,
      extra: 0,
      unreadable,
      first: different === 0 ? [] : ['plain, or sealed with an older key'],
    };
  } finally {
    await client.end();
  }
}

/** Nothing for a row that no key opens: it stays as it is, for whoever has the key. */
function sealedAnew({ tenant, sequence, body }: Stored, { open, seal }: AtRest): Stored[] {
  const place = payloadPlace(tenant, Number(sequence));
  try {
    return [{ tenant, sequence, body: seal(open(body, place), place) }];
  } catch {
    return [];
  }
}

async function replace(client: pg.Client, rows: readonly Stored[]): Promise<void> {
  await client.query('begin');
  await client.query(`select set_config('app.resealing', 'on', true)`);
  await client.query(
    `update payloads p set body = anew.body
     from unnest($1::text[], $2::bigint[], $3::bytea[]) as anew (tenant, sequence, body)
     where p.tenant = anew.tenant and p.sequence = anew.sequence`,
    [
      rows.map(({ tenant }) => tenant),
      rows.map(({ sequence }) => sequence),
      rows.map(({ body }) => body),
    ],
  );
  await client.query('commit');
}
