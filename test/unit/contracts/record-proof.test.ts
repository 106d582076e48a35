// The proof of one record: it holds under the policy, and anything changed in it makes it not hold.
import { describe, expect, test } from 'vitest';

import { entryHash, entryText, FIRST_PREV, parseEntry, showHash } from '#contracts/chain.ts';
import { checkpointText } from '#contracts/checkpoint.ts';
import {
  inclusionSteps,
  leafHash,
  nodeHash,
  proofOf,
  rootOf,
  rootSubtrees,
} from '#contracts/merkle.ts';
import {
  COSIGNATURE_ED25519,
  NOTE_ED25519,
  noteOf,
  showVerifierKey,
  signatureLine,
  type SignerKey,
  verifierKeyOf,
} from '#contracts/note.ts';
import { checkRecordProof, RECORD_PROOF_BYTES_MAX, recordProof } from '#contracts/record-proof.ts';
import { parseTlogProof, tlogProofText } from '#contracts/tlog-proof.ts';
import { treeLeaf } from '#contracts/tree-leaf.ts';
import { parseWitnessPolicy } from '#contracts/witness-policy.ts';
import { runs } from '#test/support/runs.ts';

const key = (name: string, type: number, fill: number): SignerKey => ({
  name,
  type,
  seed: Buffer.alloc(32, fill),
});
const log = key('log.example/a', NOTE_ED25519, 1);
const first = key('w1.example', COSIGNATURE_ED25519, 2);
const second = key('w2.example', COSIGNATURE_ED25519, 3);
const vkey = (signer: SignerKey) => showVerifierKey(verifierKeyOf(signer));
const policy = (quorum: string) =>
  parseWitnessPolicy(
    `log ${vkey(log)}\nwitness one ${vkey(first)}\nwitness two ${vkey(second)}\n` +
      `group both all one two\ngroup any any one two\n`
        .split('\n')
        .filter((line) => line.startsWith(`group ${quorum}`))
        .join('\n') +
      `\nquorum ${quorum}\n`,
  );

const SIZE = 11;
const INDEX = 6;
const SECONDS = 1_795_000_000;

function entryOf(note: string): string {
  const body = `{"at":1,"commitments":{},"id":"r1","kind":"outcome","note":${JSON.stringify(note)},"tenant":"acme"}`;
  const source = { epoch: '', index: 0, sequence: 0, stream: 'chainer' as const };
  return entryText({ body, kind: 'outcome', sequence: 7, source, tenant: 'acme' });
}

const prev = showHash(FIRST_PREV);

/** A tree in which the entry stands at its place, and the proof of it. */
function proved(entry: string, signers: readonly SignerKey[], size = SIZE): string {
  const leaves = Array.from({ length: size }, (_, index) => leafHash(Buffer.from(`leaf ${index}`)));
  leaves[INDEX] = leafHash(
    treeLeaf({ kind: 'entry', tenant: 'acme', sequence: 7, hash: entryHash(FIRST_PREV, entry) }),
  );
  const hashOf = (level: number, index: number): Uint8Array =>
    level === 0
      ? (leaves[index] ?? expect.unreachable())
      : nodeHash(hashOf(level - 1, 2 * index), hashOf(level - 1, 2 * index + 1));
  const root = rootOf(rootSubtrees(size).map(({ level, index }) => hashOf(level, index)));
  const text = checkpointText({ origin: log.name, size, root });
  const lines = signers.map((signer) => signatureLine(text, signer, SECONDS));
  const path = proofOf(inclusionSteps(INDEX, size), hashOf);
  return recordProof({ entry, prev }, { index: INDEX, path, checkpoint: noteOf(text, lines) });
}

test('a proof holds under a policy, and tells the record and who has cosigned', () => {
  const entry = entryOf('hello');
  const text = proved(entry, [log, first]);
  expect(Buffer.byteLength(text)).toBeLessThanOrEqual(RECORD_PROOF_BYTES_MAX);
  expect(checkRecordProof(text, policy('one'))).toMatchObject({
    holds: true,
    row: {
      tenant: 'acme',
      sequence: 7,
      hash: showHash(entryHash(FIRST_PREV, entry)),
      entry: parseEntry(entry),
    },
    under: {
      checkpoint: { origin: 'log.example/a', size: SIZE },
      cosigners: [{ witness: 'one', seconds: SECONDS }],
      witnessed: true,
    },
  });
});

test('an entry that is too long for a proof is named by its hash', () => {
  // Of random letters, which do not pack.
  const noise = Array.from({ length: 200 }, (_, at) =>
    leafHash(Buffer.of(at)).reduce((text, byte) => text + byte.toString(36), ''),
  ).join('');
  const entry = entryOf(noise);
  const text = proved(entry, [log, first]);
  expect(Buffer.byteLength(text)).toBeLessThanOrEqual(RECORD_PROOF_BYTES_MAX);
  expect(checkRecordProof(text, policy('one'))).toMatchObject({
    holds: true,
    row: { sequence: 7, hash: showHash(entryHash(FIRST_PREV, entry)), entry: undefined },
  });
});

describe('what the policy asks for', () => {
  const entry = entryOf('hello');
  test.each([
    ['nobody, and there is nobody', [log], 'none', true],
    ['one, and there is nobody', [log], 'one', false],
    ['one, and there is the other', [log, second], 'one', false],
    ['any, and there is one', [log, second], 'any', true],
    ['both, and there is one', [log, first], 'both', false],
    ['both', [log, first, second], 'both', true],
  ])('%s', (_, signers, quorum, holds) => {
    const checked = checkRecordProof(proved(entry, signers), policy(quorum));
    expect(checked).toMatchObject(holds ? { holds } : { holds, finding: 'not_witnessed' });
  });
});

describe('what does not hold', () => {
  const text = proved(entryOf('hello'), [log, first, second]);
  const proof = parseTlogProof(text) ?? expect.unreachable();
  const stranger = key(log.name, NOTE_ED25519, 9);
  const other = recordProof({ entry: entryOf('other'), prev }, proof);
  const elsewhere = recordProof(
    { entry: entryOf('hello'), prev: showHash(entryHash(FIRST_PREV, '')) },
    proof,
  );
  test.each([
    ['nothing', '', 'malformed'],
    ['another format', text.replace('@v1', '@v2'), 'malformed'],
    ['no record', tlogProofText({ ...proof, extra: Buffer.alloc(0) }), 'malformed'],
    ['a record that is none', tlogProofText({ ...proof, extra: Buffer.from('?') }), 'malformed'],
    ['another log', proved(entryOf('hello'), [stranger, first, second]), 'not_signed'],
    ['only the witnesses', proved(entryOf('hello'), [first, second]), 'not_signed'],
    ['another size', text.replace(`\n${SIZE}\n`, `\n${SIZE + 1}\n`), 'not_signed'],
    ['another record', other, 'not_included'],
    ['another place in its chain', elsewhere, 'not_included'],
    ['another index', tlogProofText({ ...proof, index: INDEX + 1 }), 'not_included'],
    ['a shorter path', tlogProofText({ ...proof, path: proof.path.slice(1) }), 'not_included'],
  ])('%s', (_, changed, finding) => {
    expect(checkRecordProof(changed, policy('both'))).toEqual({ holds: false, finding });
  });

  test('any single changed character, unless it says the same in another packing', () => {
    const { row } = checkRecordProof(text, policy('both')) as { readonly row: unknown };
    const every = Math.max(1, Math.floor(text.length / runs(text.length).numRuns));
    for (let at = 0; at < text.length; at += every) {
      const changed = text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1);
      const checked = checkRecordProof(changed, policy('both'));
      if (checked.holds) expect([at, checked.row]).toEqual([at, row]);
    }
  }, 120_000);
});

test.each([
  ['no extra', { extra: Buffer.alloc(0), path: [] }],
  ['an extra', { extra: Buffer.from('hello'), path: [leafHash(Buffer.of(1))] }],
])('the format is read as it is written: %s', (_, { extra, path }) => {
  const proof = { extra, index: 3, path, checkpoint: 'a\n3\nAAAA\n\n\u2014 b AAAA\n' };
  expect(parseTlogProof(tlogProofText(proof))).toEqual(proof);
});

test('the format as its specification shows it', () => {
  const hash = 'gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=';
  const text = `c2sp.org/tlog-proof@v1\nextra aGVsbG8=\nindex 73894\n${hash}\n\nexample.com/log\n9\n${hash}\n\n\u2014 x AAAA\n`;
  expect(parseTlogProof(text)).toEqual({
    extra: Buffer.from('hello'),
    index: 73_894,
    path: [Buffer.from(hash, 'base64')],
    checkpoint: `example.com/log\n9\n${hash}\n\n\u2014 x AAAA\n`,
  });
});
