// Exports of which nothing may be told.

import type { Files } from '#test/support/owned-log.ts';

import { withCsv, withRow } from './changes.ts';
import { masked, type Past, selection, whole } from './past.ts';

const SHOW_ALL = ['evidence', 'input', 'detail', 'value'].map((path) => ({
  do: 'show' as const,
  path,
}));

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
