// A database of a version that stored contents plainly: nothing is lost, all of it reads as before, and can be sealed.

import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import pg from 'pg';
import { expect, test } from 'vitest';

import { CHECKOUT } from '#cli/local/places.ts';
import { resealContents } from '#cli/local/reseal.ts';
import { atRest } from '#host/at-rest.ts';
import { freshDatabase, startPostgres } from '#test/support/servers.ts';

import { migrateDatabase } from '../../../services/migrate/database.ts';

const SEALING = 19;

/** As they were written then. What an agent wrote may hold a NUL, in JSON. */
const BEFORE = `
  insert into chain_rows values ('acme', 1, 'decision', 'd1', '', 'a', 'escalate', 1, 'DECISIONS', 'e', 1, 0, '{}', sha256('a'));
  insert into payloads values ('acme', 1, '{"said":"plain ä"}');
  insert into search_rows values ('acme', 1, 1, 'decision', 'a', '', '', '', 'escalate', '', '', 'h1');
  insert into payload_erasures values ('acme', 1, 'o', 1);
  insert into approvals (tenant, id, binding, state, step, held_at, expires_at, uses, progress, leaf, payload, facts)
    values ('acme', 'h1', 'b', 'pending', 1, 1, 2, 1, '{"said":"\\u0000"}', '{}', '{"said":"args"}', '{"principal":"p","said":"\\u0000"}');
  insert into approval_events values ('acme', 'h1', 1, 'held', '{}', '{"said":"event"}');
  insert into notices (tenant, approval, step, channel, kind, due_at, event) values
    ('acme', 'h1', 2, 'team', 'ask', 1, '{"event":"reached","at":7,"value":{"summary":{"tool":"t","expires_at":9}}}'),
    ('acme', 'h1', 3, 'team', 'update', 1, '{}')`;

const CONTENTS = `
  select 'payloads' as "table", sequence::text as id, body as content from payloads
  union all select 'approvals', id || ' payload', payload from approvals
  union all select 'approvals', id || ' progress', progress from approvals
  union all select 'approvals', id || ' facts', facts from approvals
  union all select 'approval_events', id || ' ' || step, payload from approval_events
  union all select 'notices', approval || ' ' || step, event from notices order by 1, 2`;

interface Content {
  readonly table: 'payloads' | 'approvals' | 'approval_events' | 'notices';
  readonly id: string;
  readonly content: Buffer;
}

test('what stands there plainly reads as before, and is sealed by one run', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-before-'));
  const postgres = await startPostgres();
  const url = await freshDatabase(postgres);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const files = await readdir(join(CHECKOUT, 'migrations'));
    for (const name of files.filter((file) => Number(file.slice(0, 4)) < SEALING))
      await cp(join(CHECKOUT, 'migrations', name), join(folder, name));
    await migrateDatabase(url, pathToFileURL(`${folder}/`));
    await client.query(BEFORE);
    await migrateDatabase(url);
    const keys = atRest([new Uint8Array(32).fill(1)]);
    const read = async () => {
      const { rows } = await client.query<Content>(CONTENTS);
      return {
        texts: rows.map(({ content, ...place }) =>
          keys.open(content, { tenant: 'acme', ...place }),
        ),
        plain: rows.filter(({ content }) => content.includes('{')).length,
      };
    };
    const texts = [
      '{"said":"event"}',
      '{"principal":"p","said":"\\u0000"}',
      '{"said":"args"}',
      '{"said":"\\u0000"}',
      '{"at": 7, "event": "reached", "value": {"summary": {"tool": "t", "expires_at": 9}}}',
      '{}',
      '{"said":"plain ä"}',
    ];
    expect(await read()).toEqual({ texts, plain: texts.length });
    expect((await client.query('select principal, erased from approvals')).rows).toEqual([
      { principal: 'p', erased: false },
    ]);
    expect(
      (
        await client.query(
          'select said, tool, at::int, expires_at::int as until from notices order by step',
        )
      ).rows,
    ).toEqual([
      { said: 'reached', tool: 't', at: 7, until: 9 },
      { said: '', tool: '', at: 0, until: 0 },
    ]);
    // What was erased before reaches the copies now.
    expect((await client.query('select * from erased_holds')).rows).toEqual([
      { tenant: 'acme', approval: 'h1', done: false },
    ]);
    const sealing = await resealContents(() => url, keys, true);
    expect(sealing).toMatchObject({ different: texts.length, unreadable: 0 });
    expect(await read()).toEqual({ texts, plain: expect.any(Number) });
    expect(await resealContents(() => url, keys, true)).toMatchObject({ different: 0 });
  } finally {
    await client.end();
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  }
});
