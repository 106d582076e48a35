// What can be done to evidence, by somebody who holds the export, or by the owner of everything but the witness.

import { randomBytes } from 'node:crypto';

import { entryHash, showHash } from '#contracts/chain.ts';
import {
  CSV_FILE,
  CSV_HEADING,
  csvLine,
  type ExportManifest,
  type ExportRow,
  MANIFEST_FILE,
  ROWS_FILE,
} from '#contracts/export.ts';
import { NOTE_ED25519, showVerifierKey, verifierKeyOf } from '#contracts/note.ts';
import { type ExportVerdict, verifyExport } from '#contracts/verify-export.ts';
import { openCheckpoint } from '#contracts/witnessed.ts';
import { type Files, filesOf, OwnedLog } from '#test/support/owned-log.ts';

/** A log with a past: sealed once when the auditor took a checkpoint, and once more since. */
export function past() {
  const log = new OwnedLog();
  log.append('acme', 4);
  log.append('bolt', 3);
  const held = log.seal();
  const size = log.leaves.length;
  log.append('acme', 2, {
    leaf: { agent: 'other-bot', verdict: 'block', reason: 'policy.blocked' },
  });
  log.append('acme', 3);
  log.append('bolt', 2);
  log.seal();
  const { policy } = log;
  return { log, held: openCheckpoint(held, policy)!, size, policy };
}

export type Past = ReturnType<typeof past>;
export const whole = ({ log, size }: Past) => log.export('acme', { since: size });
const SHOW_ALL = ['evidence', 'input', 'detail', 'value'].map((path) => ({
  do: 'show' as const,
  path,
}));
/** Evidence is shown by rule and so proved, the input is masked. */
const masked = ({ log, size }: Past) =>
  log.export('acme', { since: size, redaction: { rules: [{ do: 'show', path: 'evidence' }] } });
export const said = (verdict: ExportVerdict) =>
  verdict.verdict === 'intact' ? 'intact' : `${verdict.verdict} ${verdict.finding.kind}`;
export const verify = ({ policy, held }: Past, files: Files) =>
  verifyExport(filesOf(files), policy, held);

// --- changes of files

const manifestOf = (files: Files) => JSON.parse(files.get(MANIFEST_FILE)!) as ExportManifest;
export const rowsOf = (files: Files) =>
  files
    .get(ROWS_FILE)!
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as ExportRow);

export function withManifest(files: Files, change: (manifest: ExportManifest) => object): Files {
  return new Map(files).set(
    MANIFEST_FILE,
    JSON.stringify({ ...manifestOf(files), ...change(manifestOf(files)) }),
  );
}

function withRows(files: Files, change: (rows: ExportRow[]) => readonly unknown[]): Files {
  const text = change(rowsOf(files))
    .map((row) => `${JSON.stringify(row)}\n`)
    .join('');
  return new Map(files).set(ROWS_FILE, text);
}

export const AT = 4; // the row that is tampered with: the fifth, after the checkpoint that the auditor holds
export const withRow = (files: Files, change: (row: ExportRow) => object) =>
  withRows(files, (rows) => rows.map((row, at) => (at === AT ? { ...row, ...change(row) } : row)));

export const withLeaf = (files: Files, name: string, value: unknown) =>
  withRow(files, ({ entry }) => {
    const parsed = JSON.parse(entry) as { body: Record<string, unknown> };
    return { entry: JSON.stringify({ ...parsed, body: { ...parsed.body, [name]: value } }) };
  });

/** Hashes from a row on made anew, as somebody does who knows the format. */
function rehashed(files: Files, from: number): Files {
  return withRows(files, (rows) => {
    for (const [at, row] of rows.entries()) {
      if (at < from) continue;
      const prev = at === 0 ? new Uint8Array(32) : Buffer.from(rows[at - 1]!.hash.slice(7), 'hex');
      rows[at] = { ...row, hash: showHash(entryHash(prev, row.entry)) };
    }
    return rows;
  });
}

const swapped = <T>(all: readonly T[], one: number, other: number): T[] =>
  all.map((_, at) => all[at === one ? other : at === other ? one : at]!);
const flip = (base64: string) =>
  base64.startsWith('A') ? `B${base64.slice(1)}` : `A${base64.slice(1)}`;
const withNote = (files: Files, change: (note: string) => string) =>
  withManifest(files, ({ checkpoint }) => ({ checkpoint: change(checkpoint) }));
const lineOfNote = (at: number, change: (line: string) => string) => (note: string) =>
  note
    .split('\n')
    .map((line, n) => (n === at ? change(line) : line))
    .join('\n');

/** What was done, how, and what is told of it. */
export type Tampering = [name: string, tampered: (past: Past) => Files, expected: string];

const HASH = `sha256:${'0'.repeat(64)}`;

export const FILES: readonly Tampering[] = [
  [
    'a row deleted',
    (p) => withRows(whole(p), (rows) => rows.toSpliced(AT, 1)),
    'tampered rows_missing',
  ],
  [
    'the first rows cut off',
    (p) => withRows(whole(p), (rows) => rows.slice(2)),
    'tampered rows_missing',
  ],
  [
    'the tail cut off',
    (p) => withRows(whole(p), (rows) => rows.slice(0, -2)),
    'incomplete rows_missing_at_end',
  ],
  [
    'the tail cut off, and the count with it',
    (p) =>
      withManifest(
        withRows(whole(p), (rows) => rows.slice(0, -2)),
        ({ count }) => ({ count: count - 2 }),
      ),
    'incomplete rows_missing_at_end',
  ],
  [
    'the tail cut off, and the head moved back',
    (p) =>
      withManifest(
        withRows(whole(p), (rows) => rows.slice(0, -1)),
        ({ count, head }) => ({
          count: count - 1,
          last: head.sequence - 1,
          head: { ...head, sequence: head.sequence - 1 },
        }),
      ),
    'tampered head_not_in_tree',
  ],
  [
    'the tail cut off, and called a part of time',
    (p) =>
      withManifest(
        withRows(whole(p), (rows) => rows.slice(0, -1)),
        ({ count, last }) => ({ count: count - 1, last: last - 1, completeness: 'range' }),
      ),
    'tampered row_not_in_tree',
  ],
  [
    'a row inserted twice',
    (p) => withRows(whole(p), (rows) => rows.toSpliced(AT, 0, rows[AT]!)),
    'tampered row_repeated',
  ],
  [
    'a row of another tenant inserted',
    (p) => withRows(whole(p), (rows) => rows.toSpliced(AT, 0, rowsOf(p.log.export('bolt'))[AT]!)),
    'tampered tenant_wrong',
  ],
  [
    'a row replaced by that of another tenant',
    (p) => withRows(whole(p), (rows) => rows.with(AT, rowsOf(p.log.export('bolt'))[AT]!)),
    'tampered tenant_wrong',
  ],
  [
    'two rows swapped',
    (p) => withRows(whole(p), (rows) => swapped(rows, AT, AT + 1)),
    'tampered rows_missing',
  ],
  [
    'rows behind the head',
    (p) => withRows(whole(p), (rows) => [...rows, rows.at(-1)]),
    'tampered row_outside',
  ],
  ['a hash blanked', (p) => withRow(whole(p), () => ({ hash: HASH })), 'tampered hash_wrong'],
  [
    'a hash left out',
    (p) => withRow(whole(p), () => ({ hash: undefined })),
    'tampered row_malformed',
  ],
  ['an entry blanked', (p) => withRow(whole(p), () => ({ entry: '' })), 'tampered entry_malformed'],
  [
    'a line cut in half',
    (p) => new Map(whole(p)).set(ROWS_FILE, whole(p).get(ROWS_FILE)!.slice(0, -40)),
    'tampered row_malformed',
  ],
  [
    'a member added to a row',
    (p) => withRow(whole(p), () => ({ note: 'x' })),
    'tampered row_malformed',
  ],
  [
    'an entry written otherwise',
    (p) => withRow(whole(p), ({ entry }) => ({ entry: ` ${entry}` })),
    'tampered entry_malformed',
  ],
  [
    'a row edited, and every hash from there on made anew',
    (p) => rehashed(withLeaf(whole(p), 'verdict', 'allow'), AT),
    'tampered head_wrong',
  ],
  [
    'the same, and the head in the manifest',
    (p) => {
      const files = rehashed(withLeaf(whole(p), 'verdict', 'allow'), AT);
      return withManifest(files, ({ head }) => ({
        head: { ...head, hash: rowsOf(files).at(-1)!.hash },
      }));
    },
    'tampered head_not_in_tree',
  ],
  [
    'a payload edited',
    (p) => withRow(whole(p), ({ payload }) => ({ payload: payload!.replace('A-1', 'A-2') })),
    'tampered payload_wrong',
  ],
  [
    'a salt edited',
    (p) =>
      withRow(whole(p), ({ payload }) => ({
        payload: payload!.replace(/"salts":\{"arguments":"./, '"salts":{"arguments":"g'),
      })),
    'tampered payload_wrong',
  ],
  [
    'two payloads swapped',
    (p) =>
      withRows(whole(p), (rows) =>
        rows.map((row, at) => ({ ...row, payload: swapped(rows, 1, AT)[at]!.payload! })),
      ),
    'tampered payload_wrong',
  ],
  [
    'a payload left out',
    (p) => withRow(whole(p), () => ({ payload: undefined })),
    'tampered row_malformed',
  ],
  [
    'a section shown by the rules edited, of a masked payload',
    (p) =>
      withRow(masked(p), ({ payload }) => ({
        payload: payload!.replace('"definition_hash":"sha256:0', '"definition_hash":"sha256:1'),
      })),
    'tampered payload_wrong',
  ],
  [
    'a masked section left out',
    (p) =>
      withRow(masked(p), ({ payload }) => {
        const { sections, ...rest } = JSON.parse(payload!) as { sections: { evidence: unknown } };
        const { evidence } = sections;
        return { payload: JSON.stringify({ ...rest, sections: { evidence }, v: 1 }) };
      }),
    'tampered payload_wrong',
  ],
  [
    'a payload called masked where they are plain',
    (p) => withRow(whole(p), () => ({ payload: rowsOf(masked(p))[AT]!.payload! })),
    'tampered payload_wrong',
  ],
  [
    'masked payloads called plain',
    (p) => withManifest(masked(p), () => ({ redaction: undefined })),
    'tampered payload_wrong',
  ],
  [
    'plain payloads called masked',
    (p) => withManifest(whole(p), () => ({ redaction: { rules: `sha256:${'0'.repeat(64)}` } })),
    'tampered payload_wrong',
  ],
  [
    'a section called masked that can be proved',
    (p) =>
      withRow(masked(p), ({ payload }) => ({
        payload: payload!.replace('"masked":["input"]', '"masked":["evidence","input"]'),
      })),
    'tampered payload_wrong',
  ],
  [
    'payloads denied',
    (p) => withManifest(whole(p), () => ({ payloads: false })),
    'tampered row_malformed',
  ],
  [
    'the count changed',
    (p) => withManifest(whole(p), ({ count }) => ({ count: count + 1 })),
    'tampered count_wrong',
  ],
  [
    'another tenant named',
    (p) => withManifest(whole(p), () => ({ tenant: 'bolt' })),
    'tampered head_not_in_tree',
  ],
  [
    'a part called whole',
    (p) =>
      withManifest(p.log.export('acme', { since: p.size, bounds: [2, 6] }), () => ({
        completeness: 'whole',
      })),
    'tampered manifest_malformed',
  ],
  [
    'a whole with filters',
    (p) => withManifest(whole(p), () => ({ filters: { agent: 'x' } })),
    'tampered manifest_malformed',
  ],
  [
    'an unknown member of the manifest',
    (p) => withManifest(whole(p), () => ({ note: 'x' })),
    'tampered manifest_malformed',
  ],
  [
    'another format',
    (p) => withManifest(whole(p), () => ({ format: 'countersign-export/2' })),
    'tampered manifest_malformed',
  ],
  [
    'a manifest that is no JSON',
    (p) => new Map(whole(p)).set(MANIFEST_FILE, '{'),
    'tampered manifest_malformed',
  ],
  ['the manifest deleted', (p) => new Map([...whole(p)].slice(1)), 'incomplete file_missing'],
  ['the rows deleted', (p) => new Map([...whole(p)].slice(0, 1)), 'incomplete file_missing'],
  [
    'the head proved by another path',
    (p) => withManifest(whole(p), ({ head }) => ({ head: { ...head, path: head.path.map(flip) } })),
    'tampered head_not_in_tree',
  ],
  [
    'the head at another place',
    (p) => withManifest(whole(p), ({ head }) => ({ head: { ...head, index: head.index - 1 } })),
    'tampered head_not_in_tree',
  ],
  [
    'an entry passed for the head',
    (p) =>
      withManifest(whole(p), ({ head }) => ({
        head: {
          ...head,
          ...p.log.proof(
            { kind: 'entry', tenant: 'acme', sequence: head.sequence },
            p.log.leaves.length,
          ),
        },
      })),
    'tampered head_not_in_tree',
  ],
  [
    'the size of the tree changed',
    (p) =>
      withNote(
        whole(p),
        lineOfNote(1, (size) => String(Number(size) + 1)),
      ),
    'tampered checkpoint_wrong',
  ],
  ['the root changed', (p) => withNote(whole(p), lineOfNote(2, flip)), 'tampered checkpoint_wrong'],
  [
    'a line added to the checkpoint',
    (p) => withNote(whole(p), (note) => note.replace('\n\n', '\nmore\n\n')),
    'tampered checkpoint_wrong',
  ],
  [
    'the checkpoint of another log',
    (p) =>
      withNote(
        whole(p),
        lineOfNote(0, () => 'log.example/else'),
      ),
    'tampered checkpoint_wrong',
  ],
  [
    'the cosignature removed',
    (p) => withNote(whole(p), (note) => note.split('\n').slice(0, -2).join('\n').concat('\n')),
    'incomplete not_witnessed',
  ],
  [
    'the cosignature of another checkpoint',
    (p) =>
      withNote(whole(p), (note) =>
        note.split('\n').slice(0, -2).join('\n').concat('\n', p.log.cosigned.get(p.size)!),
      ),
    'tampered checkpoint_wrong',
  ],
  [
    'the key history changed',
    (p) =>
      withManifest(whole(p), () => ({
        log_keys: [showVerifierKey(verifierKeyOf(p.log.witnessKey))],
      })),
    'tampered key_wrong',
  ],
  [
    'the continuation left out',
    (p) => withManifest(whole(p), () => ({ consistency: undefined })),
    'incomplete consistency_missing',
  ],
  [
    'the continuation changed',
    (p) =>
      withManifest(whole(p), ({ consistency }) => ({
        consistency: { ...consistency!, path: consistency!.path.map(flip) },
      })),
    'tampered forked',
  ],
  [
    'of a part, the row before it changed',
    (p) =>
      withManifest(p.log.export('acme', { since: p.size, bounds: [3, 6] }), () => ({ prev: HASH })),
    'tampered hash_wrong',
  ],
  [
    'of a part, the last row proved by another',
    (p) =>
      withManifest(p.log.export('acme', { since: p.size, bounds: [3, 6] }), ({ head }) => ({
        last_proof: { index: head.index, path: head.path },
      })),
    'tampered row_not_in_tree',
  ],
  [
    'of a part, a row deleted',
    (p) =>
      withRows(p.log.export('acme', { since: p.size, bounds: [3, 8] }), (rows) =>
        rows.toSpliced(2, 1),
      ),
    'tampered rows_missing',
  ],
  [
    'of a selection, a verdict edited',
    (p) =>
      withRows(selection(p), ([row]) => [
        { ...row, entry: row!.entry.replace('"verdict":"block"', '"verdict":"allow"') },
      ]),
    'tampered hash_wrong',
  ],
  [
    'of a selection, a row made up',
    (p) =>
      withRows(selection(p), ([row]) => {
        const entry = row!.entry.replace('"verdict":"block"', '"verdict":"allow"');
        return [
          {
            ...row,
            entry,
            hash: showHash(entryHash(Buffer.from(row!.prev!.slice(7), 'hex'), entry)),
          },
        ];
      }),
    'tampered row_not_in_tree',
  ],
  [
    'of a selection, the proof of another row',
    (p) => withRows(selection(p), ([one, other]) => [{ ...one, proof: other!.proof }]),
    'tampered row_not_in_tree',
  ],
  [
    'of a selection, two rows swapped',
    (p) => withRows(selection(p), ([one, other]) => [other, one]),
    'tampered row_repeated',
  ],
  [
    'of a selection, a row that does not fit',
    (p) => withManifest(selection(p), () => ({ filters: { agent: 'support-bot' } })),
    'tampered row_outside',
  ],
  [
    'of a selection, a row left out',
    (p) => withRows(selection(p), (rows) => rows.slice(1)),
    'tampered count_wrong',
  ],
  [
    'a cell of the table changed',
    (p) => withCsv(whole(p), (csv) => csv.replace(',block,', ',allow,')),
    'tampered csv_wrong',
  ],
  [
    'a line of the table deleted',
    (p) => withCsv(whole(p), (csv) => csv.split('\n').toSpliced(AT, 1).join('\n')),
    'tampered csv_wrong',
  ],
  [
    'a line of the table added',
    (p) => withCsv(whole(p), (csv) => `${csv}=1+1\n`),
    'tampered csv_wrong',
  ],
];

export const selection = (p: Past) =>
  p.log.export('acme', { since: p.size, filters: { agent: 'other-bot' } });

export function withCsv(files: Files, change: (csv: string) => string): Files {
  const csv = [CSV_HEADING, ...rowsOf(files).map(csvLine), ''].join('\n');
  return withManifest(files, () => ({ files: [ROWS_FILE, CSV_FILE] })).set(CSV_FILE, change(csv));
}

/** What the owner of database and log key can do; the witness is not his. */
export const OWNER: readonly Tampering[] = [
  [
    'history rewritten, signed anew, with the old cosignature',
    (p) => {
      rewrite(p.log);
      p.log.cosigned.set(p.log.leaves.length, p.log.cosigned.get(p.size)!);
      return p.log.export('acme', { since: p.size });
    },
    'tampered checkpoint_wrong',
  ],
  [
    'history rewritten, signed anew, without a cosignature',
    (p) => {
      rewrite(p.log);
      p.log.cosigned.clear();
      return p.log.export('acme', { since: p.size });
    },
    'incomplete not_witnessed',
  ],
  [
    'history rewritten, cosigned by a witness of his own',
    (p) => {
      rewrite(p.log);
      const size = p.log.leaves.length;
      p.log.cosign(p.log.sign(size), size, { ...p.log.witnessKey, seed: randomBytes(32) });
      return p.log.export('acme', { since: p.size });
    },
    'incomplete not_witnessed',
  ],
  [
    'history rewritten, and a witness that forgot what it saw',
    (p) => {
      rewrite(p.log);
      const size = p.log.leaves.length;
      p.log.cosign(p.log.sign(size), size);
      return p.log.export('acme', { since: p.size });
    },
    'tampered forked',
  ],
  [
    'a database rolled back to its backup',
    (p) => {
      p.log.leaves = p.log.leaves.slice(0, p.size);
      for (const [tenant, rows] of p.log.chains) p.log.chains.set(tenant, rows.slice(0, 2));
      return new OlderBackup(p).export();
    },
    'tampered rolled_back',
  ],
  [
    'a fork: another history of the same size',
    (p) => {
      const twin = new OwnedLog();
      twin.logKey = p.log.logKey;
      twin.append('acme', 4);
      twin.append('bolt', 3);
      twin.seal();
      twin.cosign(twin.sign(twin.leaves.length), twin.leaves.length, p.log.witnessKey);
      return twin.export('acme', { since: p.size });
    },
    'tampered forked',
  ],
  [
    'the log moved to another key',
    (p) => {
      p.log.logKey = { name: p.log.logKey.name, type: NOTE_ED25519, seed: randomBytes(32) };
      return p.log.export('acme', { since: p.size });
    },
    'tampered checkpoint_wrong',
  ],
  [
    'the tail of a chain cut off in the database',
    (p) => {
      p.log.chains.get('acme')!.splice(-2);
      return p.log.export('acme', { since: p.size });
    },
    'incomplete rows_missing_at_end',
  ],
  [
    'the beginning of a chain cut off in the database',
    (p) => {
      p.log.chains.get('acme')!.splice(0, 1);
      return p.log.export('acme', { since: p.size });
    },
    'incomplete rows_missing_at_end',
  ],
  [
    'a clock put back in one row, and the chain hashed anew',
    (p) => {
      editLeaf(p.log, { at: 1 });
      return p.log.export('acme', { since: p.size });
    },
    'tampered head_not_in_tree',
  ],
  [
    'two tenants spliced',
    (p) => {
      p.log.chains.get('acme')!.splice(5, 4, ...p.log.chains.get('bolt')!.slice(0, 4));
      return p.log.export('acme', { since: p.size });
    },
    'tampered head_not_in_tree',
  ],
];

function editLeaf(log: OwnedLog, change: object): void {
  const row = log.chains.get('acme')![AT]!;
  row.body = JSON.stringify({ ...(JSON.parse(row.body) as object), ...change });
}

function rewrite(log: OwnedLog): void {
  editLeaf(log, { verdict: 'allow', reason: 'policy.allowed' });
  editFirst(log);
  log.rewrite();
}

/** Also what the auditor has seen a checkpoint of. */
function editFirst(log: OwnedLog): void {
  const row = log.chains.get('acme')![0]!;
  row.body = JSON.stringify({ ...(JSON.parse(row.body) as object), verdict: 'block' });
}

/** The first two rows of everybody, with a checkpoint of that time that the witness did cosign then. */
class OlderBackup {
  readonly #past: Past;
  constructor(past: Past) {
    this.#past = past;
  }
  export(): Files {
    const { log } = this.#past;
    log.leaves = [];
    log.seal();
    return log.export('acme');
  }
}

/** Exports that are as they were made. */
export const HONEST: readonly [name: string, made: (past: Past) => Files][] = [
  ['whole', whole],
  ['of another tenant', (p) => p.log.export('bolt', { since: p.size })],
  ['without payloads', (p) => p.log.export('acme', { since: p.size, payloads: false })],
  ['of a time that is everything', (p) => p.log.export('acme', { since: p.size, bounds: [1, 9] })],
  ['of a time', (p) => p.log.export('acme', { since: p.size, bounds: [3, 6] })],
  ['a selection', selection],
  ['with a table', (p) => withCsv(whole(p), (csv) => csv)],
  ['with an erased payload', (p) => withRow(whole(p), () => ({ payload: null }))],
  ['masked', masked],
  ['masked, with an erased payload', (p) => withRow(masked(p), () => ({ payload: null }))],
  [
    'masked by rules that show all',
    (p) => p.log.export('acme', { since: p.size, redaction: { rules: SHOW_ALL } }),
  ],
];
