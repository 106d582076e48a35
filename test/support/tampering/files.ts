// What can be done to evidence by somebody who holds the export.

import { entryHash, showHash } from '#contracts/chain.ts';
import { MANIFEST_FILE, ROWS_FILE } from '#contracts/export.ts';
import { showVerifierKey, verifierKeyOf } from '#contracts/note.ts';

import {
  AT,
  flip,
  lineOfNote,
  rehashed,
  rowsOf,
  swapped,
  withCsv,
  withLeaf,
  withManifest,
  withNote,
  withRow,
  withRows,
} from './changes.ts';
import { masked, selection, type Tampering, whole } from './past.ts';

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
