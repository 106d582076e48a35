/**
 * Writes the vectors of this folder. Entries and hashes are made here with nothing of contracts/chain.ts; the
 * findings are by hand. Run once after changing a table: `node test/vectors/chains/write.ts`.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';

interface Row {
  readonly entry: string;
  readonly hash: string;
}
interface Head {
  readonly sequence: number;
  readonly hash: string;
}

/** Text with sorted names; enough for the plain values below. */
function sorted(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(sorted).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, part]) => `${JSON.stringify(name)}:${sorted(part)}`).join(',')}}`;
}

function entry(sequence: number, changes: Record<string, unknown> = {}): string {
  const { tenant = 'acme', kind = 'decision', body = {}, ...rest } = changes;
  return sorted({
    body: {
      at: 1_780_000_000_000 + sequence,
      commitments: { input: `sha256:${'ab'.repeat(32)}` },
      id: `record-${sequence}`,
      kind,
      tenant,
      v: 1,
      verdict: 'allow',
      ...(body as object),
    },
    kind,
    sequence,
    source: { epoch: 'mf2k1x0', index: 0, sequence, stream: 'DECISIONS' },
    tenant,
    v: 1,
    ...rest,
  });
}

/** Rows with right hashes, each over the one before. */
function chained(entries: readonly string[], prev = '0'.repeat(64)): Row[] {
  return entries.map((text) => {
    prev = createHash('sha256').update(Buffer.from(prev, 'hex')).update(text, 'utf8').digest('hex');
    return { entry: text, hash: `sha256:${prev}` };
  });
}

const count = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);
const honest = (length: number) => chained(count(1, length).map((n) => entry(n)));
const headOf = (rows: readonly Row[]): Head => ({
  sequence: rows.length,
  hash: rows.at(-1)?.hash ?? `sha256:${'0'.repeat(64)}`,
});
const five = honest(5);
const at = (index: number): Row => five[index] as Row;
/** The five rows with one of them replaced. */
const instead = (index: number, row: Row) => five.map((old, place) => (place === index ? row : old));
const edited = (index: number, from: string, to: string) => {
  const text = at(index).entry.replace(from, to);
  if (text === at(index).entry) throw new Error(`nothing to edit: ${from}`);
  return instead(index, { ...at(index), entry: text });
};

const VALID: Record<string, { tenant?: string; rows: Row[] }> = {
  empty: { rows: [] },
  one: { rows: honest(1) },
  five: { rows: five },
  'outcome-before-its-decision': {
    rows: chained([
      entry(1, {
        kind: 'outcome',
        body: { decision_id: 'record-2', status: 'executed', id: 'outcome-1' },
        source: { epoch: 'mf2k1x1', index: 0, sequence: 9, stream: 'OUTCOMES' },
      }),
      entry(2),
    ]),
  },
  'positions-of-streams-in-any-order': {
    rows: chained([
      entry(1, { source: { epoch: 'mf2k1x0', index: 3, sequence: 40, stream: 'DECISIONS' } }),
      entry(2, { source: { epoch: 'mf2k1x0', index: 1, sequence: 7, stream: 'DECISIONS' } }),
    ]),
  },
  'unknown-kind': { rows: chained([entry(1, { kind: 'something.later' })]) },
  'text-beyond-ascii': {
    rows: chained([entry(1, { body: { agent: 'Zoë \u{1f980} "\\"\n\u2028' } })]),
  },
  'platform-alert': {
    tenant: '_platform',
    rows: chained([
      entry(1, {
        tenant: '_platform',
        kind: 'control.alert',
        source: { epoch: '', index: 0, sequence: 0, stream: 'chainer' },
      }),
    ]),
  },
};

const again = (index: number, changes: Record<string, unknown>) => {
  const entries = five.map(({ entry: text }, place) =>
    place === index ? entry(index + 1, changes) : text,
  );
  return chained(entries);
};
const other = chained(count(1, 5).map((n) => entry(n, { tenant: 'other' })));
const zeros = `sha256:${'0'.repeat(64)}`;

type Tampered = { rows: Row[]; head?: Head | null; finding: [sequence: number, fault: string] };
const TAMPERED: Record<string, Tampered> = {
  'verdict-edited': { rows: edited(2, '"verdict":"allow"', '"verdict":"block"'), finding: [3, 'hash_wrong'] },
  'time-edited': { rows: edited(0, '"at":1780000000001', '"at":1780000000000'), finding: [1, 'hash_wrong'] },
  'commitment-edited': { rows: edited(4, 'sha256:ab', 'sha256:ac'), finding: [5, 'hash_wrong'] },
  'source-edited': { rows: edited(1, '"index":0', '"index":1'), finding: [2, 'hash_wrong'] },
  'record-id-edited': { rows: edited(3, 'record-4', 'record-9'), finding: [4, 'hash_wrong'] },
  'hash-edited': { rows: instead(1, { ...at(1), hash: at(0).hash }), finding: [2, 'hash_wrong'] },
  'hash-blanked': { rows: instead(4, { ...at(4), hash: '' }), finding: [5, 'hash_wrong'] },
  'hash-zeroed': { rows: instead(2, { ...at(2), hash: zeros }), finding: [3, 'hash_wrong'] },
  'hash-in-capitals': { rows: instead(2, { ...at(2), hash: at(2).hash.toUpperCase() }), finding: [3, 'hash_wrong'] },
  'first-hashed-after-something': { rows: chained([at(0).entry], '11'.repeat(32)), head: null, finding: [1, 'hash_wrong'] },
  'front-cut': { rows: five.slice(2), finding: [1, 'rows_missing'] },
  'front-cut-and-hashed-anew': { rows: chained(five.slice(2).map((row) => row.entry)), finding: [1, 'rows_missing'] },
  'row-deleted': { rows: five.filter((_, place) => place !== 2), finding: [3, 'rows_missing'] },
  'row-inserted-twice': { rows: [...five.slice(0, 3), at(2), ...five.slice(3)], finding: [4, 'row_repeated'] },
  'rows-swapped': { rows: [at(0), at(2), at(1), at(3), at(4)], finding: [2, 'rows_missing'] },
  'rows-swapped-and-renumbered': {
    rows: [at(0), { ...at(1), entry: entry(2, { body: { id: 'record-3' } }) }, ...five.slice(2)],
    finding: [2, 'hash_wrong'],
  },
  'tail-cut': { rows: five.slice(0, 3), finding: [4, 'tail_missing'] },
  'all-cut': { rows: [], finding: [1, 'tail_missing'] },
  'row-appended-behind-the-head': { rows: honest(6), finding: [5, 'head_wrong'] },
  'changed-and-all-hashed-anew': { rows: again(2, { body: { verdict: 'block' } }), finding: [5, 'head_wrong'] },
  'last-changed-and-hashed-anew': { rows: again(4, { body: { verdict: 'block' } }), finding: [5, 'head_wrong'] },
  'row-of-another-tenant': { rows: instead(2, other[2] as Row), finding: [3, 'tenant_wrong'] },
  'whole-chain-of-another-tenant': { rows: other, finding: [1, 'tenant_wrong'] },
  'body-of-another-tenant': { rows: again(2, { body: { tenant: 'other' } }), finding: [3, 'entry_malformed'] },
  'body-of-another-kind': { rows: again(2, { body: { kind: 'outcome' } }), finding: [3, 'entry_malformed'] },
  'entry-blanked': { rows: instead(2, { ...at(2), entry: '' }), finding: [3, 'entry_malformed'] },
  'entry-not-json': { rows: edited(2, '"v":1}', '"v":1'), finding: [3, 'entry_malformed'] },
  'entry-with-blank': { rows: chained([`${at(0).entry} `]), head: null, finding: [1, 'entry_malformed'] },
  'entry-with-a-name-twice': {
    rows: chained([at(0).entry.replace('"verdict"', '"verdict":"block","verdict"')]),
    head: null,
    finding: [1, 'entry_malformed'],
  },
  'entry-names-not-sorted': {
    rows: chained([at(0).entry.replace('{"body":', '{"v":1,"body":').replace(',"v":1}', '}')]),
    head: null,
    finding: [1, 'entry_malformed'],
  },
  'entry-of-another-version': { rows: chained([entry(1, { v: 2 })]), head: null, finding: [1, 'entry_malformed'] },
  'entry-with-more': { rows: chained([entry(1, { note: '' })]), head: null, finding: [1, 'entry_malformed'] },
  'sequence-zero': { rows: chained([entry(0)]), head: null, finding: [1, 'entry_malformed'] },
  'sequence-as-fraction': { rows: chained([entry(1, { sequence: 1.5 })]), head: null, finding: [1, 'entry_malformed'] },
};

function write(folder: string, vectors: Record<string, unknown>): void {
  const directory = new URL(`./${folder}/`, import.meta.url);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  for (const [name, vector] of Object.entries(vectors)) {
    writeFileSync(new URL(`${name}.json`, directory), `${JSON.stringify(vector, null, 1)}\n`);
  }
}

const map = <A, B>(table: Record<string, A>, change: (value: A) => B) =>
  Object.fromEntries(Object.entries(table).map(([name, value]) => [name, change(value)]));

write(
  'valid',
  map(VALID, ({ tenant = 'acme', rows }) => ({ tenant, head: headOf(rows), rows })),
);
write(
  'tampered',
  map(TAMPERED, ({ rows, head = headOf(five), finding: [sequence, fault] }) => ({
    tenant: 'acme',
    head,
    rows,
    finding: { sequence, fault },
  })),
);
