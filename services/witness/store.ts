/**
 * What this witness has cosigned last, for each log: one SQLite file, synced before a transaction ends. Checking and
 * replacing are one transaction that excludes all others, also those of a second process on the same file.
 */
import { existsSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';

/** The latest tree of a log that was cosigned. */
export interface Cosigned {
  readonly size: number;
  readonly root: Uint8Array;
}

export interface WitnessStore {
  /**
   * Gives `judge` the latest tree of this log and keeps what it gives back instead, if anything. Nothing else looks
   * or writes in between, and what is kept is on the disk when this returns.
   */
  readonly advance: <T extends { readonly keep?: Cosigned }>(
    origin: string,
    judge: (latest: Cosigned | undefined) => T,
  ) => T;
  /** Latest trees by origin. */
  readonly all: () => ReadonlyMap<string, Cosigned>;
  readonly close: () => void;
}

/** The store of a witness is not there, or is another's. */
export class StoreError extends Error {}

/** How long one process waits for another that holds the file. */
const WAIT_MS = 2_000;

/** Makes the store of a new witness. @param vkey the witness's own key, as it is published */
export function makeStore(file: string, vkey: string): void {
  if (existsSync(file)) throw new StoreError(`${file} is there already`);
  const database = open(file);
  try {
    database.exec(`
      create table witness (vkey text not null) strict;
      create table cosigned (origin text primary key, size integer not null, root blob not null) strict;
    `);
    database.prepare('insert into witness (vkey) values (?)').run(vkey);
  } finally {
    database.close();
  }
}

/** Opens the store of this witness and of no other. @throws StoreError */
export function openStore(file: string, vkey: string): WitnessStore {
  if (!existsSync(file)) {
    throw new StoreError(
      `${file} is missing. A witness that lost its store could cosign another past with its old key: ` +
        'retire the key and make a new witness',
    );
  }
  const database = open(file);
  const owner = database.prepare('select vkey from witness').get()?.['vkey'];
  if (owner !== vkey) {
    database.close();
    throw new StoreError(`${file} is the store of ${String(owner)}, not of ${vkey}`);
  }
  const select = database.prepare('select size, root from cosigned where origin = ?');
  const replace = database.prepare(
    'insert or replace into cosigned (origin, size, root) values (?, ?, ?)',
  );
  const everything = database.prepare('select origin, size, root from cosigned');
  return {
    advance: (origin, judge) =>
      exclusively(database, () => {
        const judged = judge(readCosigned(select.get(origin)));
        if (judged.keep !== undefined) replace.run(origin, judged.keep.size, judged.keep.root);
        return judged;
      }),
    all: () =>
      new Map(
        everything.all().flatMap((row) => {
          const cosigned = readCosigned(row);
          return cosigned === undefined ? [] : [[String(row['origin']), cosigned] as const];
        }),
      ),
    close: () => database.close(),
  };
}

function open(file: string): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: WAIT_MS });
  // A rollback journal and `extra`: after a power cut the file holds every transaction that has ended.
  database.exec('pragma journal_mode = delete; pragma synchronous = extra');
  return database;
}

function exclusively<T>(database: DatabaseSync, work: () => T): T {
  database.exec('begin immediate');
  try {
    const result = work();
    database.exec('commit');
    return result;
  } catch (error) {
    if (database.isTransaction) database.exec('rollback');
    throw error;
  }
}

function readCosigned(row: Readonly<Record<string, unknown>> | undefined): Cosigned | undefined {
  if (row === undefined) return undefined;
  const { size, root } = row as { readonly size: number; readonly root: Uint8Array };
  return { size, root };
}
