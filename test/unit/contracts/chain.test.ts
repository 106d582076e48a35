import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import {
  CHAINER_SOURCE,
  type ChainHead,
  type ChainRow,
  chainVerifier,
  entryHash,
  entryText,
  FIRST_PREV,
  parseEntry,
  parseHash,
  showHash,
  verifyChain,
} from '#contracts/chain.ts';
import { runs } from '#test/support/runs.ts';
import { readVectors } from '#test/support/vectors.ts';

interface Vector {
  readonly tenant: string;
  readonly head: ChainHead | null;
  readonly rows: readonly ChainRow[];
  readonly finding?: { readonly sequence: number; readonly fault: string };
}

describe('vectors', () => {
  test.each([...readVectors<Vector>('chains/valid'), ...readVectors<Vector>('chains/tampered')])(
    '%s',
    (_, { tenant, head, rows, finding }) => {
      expect(verifyChain(tenant, rows, head ?? undefined)).toEqual(finding);
    },
  );

  const unseen = ['tail-cut', 'changed-and-all-hashed-anew', 'all-cut'];
  const without = readVectors<Vector>('chains/tampered').filter(([name]) => unseen.includes(name));
  test.each(without)('%s is not seen without a head that somebody else holds', (_, vector) => {
    expect(verifyChain(vector.tenant, vector.rows)).toBeUndefined();
  });
});

const source = { epoch: 'mf2k1x0', index: 0, sequence: 7, stream: 'DECISIONS' };

/** An honest chain of records with these texts in them. */
function chain(texts: readonly string[]): { rows: ChainRow[]; head: ChainHead } {
  let prev = FIRST_PREV;
  const rows = texts.map((note, index) => {
    const body = `{"at":1,"commitments":{},"id":"r${index}","kind":"outcome","note":${JSON.stringify(note)},"tenant":"acme"}`;
    const entry = entryText({ body, kind: 'outcome', sequence: index + 1, source, tenant: 'acme' });
    prev = entryHash(prev, entry);
    return { entry, hash: showHash(prev) };
  });
  return { rows, head: { sequence: rows.length, hash: showHash(prev) } };
}

const texts = fc.array(fc.string({ unit: 'grapheme' }), { minLength: 1, maxLength: 6 });

describe('properties', () => {
  test('an honest chain is intact, as a whole and from any head in it', () => {
    fc.assert(
      fc.property(texts, fc.nat(), (notes, cut) => {
        const { rows, head } = chain(notes);
        expect(verifyChain('acme', rows, head)).toBeUndefined();
        const from = cut % rows.length;
        const known = { sequence: from, hash: rows[from - 1]?.hash ?? showHash(FIRST_PREV) };
        const rest = chainVerifier('acme', known);
        for (const row of rows.slice(from)) expect(rest.next(row)).toHaveProperty('entry');
        expect(rest.end(head)).toBeUndefined();
      }),
    );
  });

  test('any single changed byte of entries and hashes is found, at its row', () => {
    fc.assert(
      fc.property(texts, fc.nat(), fc.nat(), fc.integer({ min: 1, max: 255 }), (notes, ...at) => {
        const [whichRow, whichByte, flip] = at;
        const { rows, head } = chain(notes);
        const place = whichRow % rows.length;
        const row = rows[place]!;
        const inEntry = Buffer.byteLength(row.entry);
        const bytes = Buffer.from(row.entry + row.hash, 'utf8');
        bytes[whichByte % bytes.length]! ^= flip;
        rows[place] = {
          entry: bytes.subarray(0, inEntry).toString('utf8'),
          hash: bytes.subarray(inEntry).toString('utf8'),
        };
        expect(verifyChain('acme', rows, head)).toMatchObject({ sequence: place + 1 });
      }),
      runs(2_000),
    );
  });

  test('any row left out, repeated or moved is found', () => {
    fc.assert(
      fc.property(
        texts,
        fc.nat(),
        fc.nat(),
        fc.constantFrom('out', 'again', 'moved'),
        (notes, which, to, how) => {
          const { rows, head } = chain(['first', 'second', ...notes]);
          const place = which % rows.length;
          const [row] = how === 'again' ? [rows[place]!] : rows.splice(place, 1);
          const target = to % (rows.length + 1);
          fc.pre(how !== 'moved' || target !== place);
          if (how !== 'out') rows.splice(target, 0, row!);
          expect(verifyChain('acme', rows, head)).toBeDefined();
        },
      ),
    );
  });
});

describe('entries and hashes as text', () => {
  test('an entry is read back as it was written', () => {
    const body = { at: 5, commitments: {}, id: 'a', kind: 'control.alert', tenant: '_platform' };
    const entry = {
      body: JSON.stringify(body),
      kind: 'control.alert',
      sequence: 3,
      source: CHAINER_SOURCE,
      tenant: '_platform',
    };
    expect(parseEntry(entryText(entry))).toEqual({ ...entry, body, v: 1 });
  });

  test.each([
    ['a whole hash', `sha256:${'0f'.repeat(32)}`, Buffer.from('0f'.repeat(32), 'hex')],
    ['capitals', `sha256:${'0F'.repeat(32)}`, undefined],
    ['too short', `sha256:${'0f'.repeat(31)}`, undefined],
    ['another algorithm', `sha512:${'0f'.repeat(32)}`, undefined],
    ['nothing', '', undefined],
  ])('parseHash of %s', (_, text, expected) => {
    expect(parseHash(text)).toEqual(expected);
  });
});
