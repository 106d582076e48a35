/**
 * What the database knows of cosignatures: which checkpoint waits for whom, each line as it comes, and from when on
 * enough of them were there. Several chainers may keep lines of one checkpoint at once.
 */
import type pg from 'pg';

import { openNote, type VerifierKey } from '#contracts/note.ts';
import { type PolicyWitness, quorumMet, type WitnessPolicy } from '#contracts/witness-policy.ts';
import { inTransaction } from '#host/database.ts';

/** The newest checkpoint. */
export interface Newest {
  readonly size: number;
  /** The note as the log signed it. */
  readonly note: string;
  /** Seconds UTC of the cosignatures that it has, by name and id of the key. */
  readonly cosigned: ReadonlyMap<string, number>;
  /** Milliseconds UTC of the oldest checkpoint that is not witnessed, undefined when all are. */
  readonly waitingSince: number | undefined;
}

/** How the table of cosignatures names a key. */
export const keyName = ({ name, id }: VerifierKey): string => `${name}+${id}`;

/** Undefined before the first checkpoint. */
export async function newestCheckpoint(pool: pg.Pool): Promise<Newest | undefined> {
  const { rows } = await pool.query<{
    readonly size: number;
    readonly note: string;
    readonly keys: Readonly<Record<string, number>>;
    readonly since: number | null;
  }>(
    `select size, note,
       (select coalesce(json_object_agg(key, seconds), '{}') from cosignatures where cosignatures.size = newest.size) as keys,
       (select at from checkpoints where witnessed_at is null order by size limit 1) as since
     from checkpoints as newest order by size desc limit 1`,
  );
  const [row] = rows;
  if (row === undefined) return undefined;
  const { size, note, keys, since } = row;
  const waitingSince = since ?? undefined;
  return { size, note, cosigned: new Map(Object.entries(keys)), waitingSince };
}

/** bad: none of the lines is a cosignature of this checkpoint by this witness. kept: `witnessed` is new by this line. */
export type Kept =
  | { readonly kind: 'bad' }
  | { readonly kind: 'kept'; readonly witnessed: boolean };

/** Keeps what a witness gave for a checkpoint of ours. Untrusted: the lines. */
export async function keepCosignature(
  pool: pg.Pool,
  policy: WitnessPolicy,
  given: { readonly size: number; readonly witness: PolicyWitness; readonly lines: string },
): Promise<Kept> {
  const { size, witness, lines } = given;
  return inTransaction(pool, async (client): Promise<Kept> => {
    // Locked, so that of two lines that come at once the second sees the first.
    const { rows } = await client.query<{ note: string; witnessed: boolean }>(
      'select note, witnessed_at is not null as witnessed from checkpoints where size = $1 for update',
      [size],
    );
    const [{ note, witnessed } = { note: '', witnessed: false }] = rows;
    const signature = openNote(note + lines, [witness.key])?.signatures[0];
    if (signature === undefined) return { kind: 'bad' };
    await client.query(
      `insert into cosignatures (size, key, line, seconds) values ($1, $2, $3, $4)
       on conflict (size, key) do update set line = excluded.line, seconds = excluded.seconds
       where excluded.seconds >= cosignatures.seconds`,
      [size, keyName(witness.key), signature.line, signature.seconds],
    );
    if (witnessed || !(await isEnough(client, policy, size)))
      return { kind: 'kept', witnessed: false };
    await client.query(MARK, [size, Date.now()]);
    return { kind: 'kept', witnessed: true };
  });
}

async function isEnough(client: pg.ClientBase, policy: WitnessPolicy, size: number) {
  const { rows } = await client.query<{ key: string }>(
    'select key from cosignatures where size = $1',
    [size],
  );
  const keys = new Set(rows.map(({ key }) => key));
  const names = policy.witnesses
    .filter(({ key }) => keys.has(keyName(key)))
    .map(({ name }) => name);
  return quorumMet(policy.quorum, (name) => names.includes(name));
}

/** Takes a checkpoint for witnessed, and every smaller one with it: the larger tree continues theirs. */
export async function markWitnessed(pool: pg.Pool, size: number): Promise<void> {
  await pool.query(MARK, [size, Date.now()]);
}

const MARK = 'update checkpoints set witnessed_at = $2 where size <= $1 and witnessed_at is null';
