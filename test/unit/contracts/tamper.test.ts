// What can be done to evidence (test/support/tampering/): each is told, by its kind, against one earlier witnessed
// checkpoint. And nothing is told of histories that are honest.

import { randomBytes } from 'node:crypto';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { ROWS_FILE } from '#contracts/export.ts';
import { NOTE_ED25519, showVerifierKey, verifierKeyOf } from '#contracts/note.ts';
import { verifyExport } from '#contracts/verify-export.ts';
import { filesOf } from '#test/support/owned-log.ts';
import { runs } from '#test/support/runs.ts';
import { AT, rowsOf, withLeaf, withManifest, withRow } from '#test/support/tampering/changes.ts';
import { FILES } from '#test/support/tampering/files.ts';
import { HONEST } from '#test/support/tampering/honest.ts';
import { OWNER } from '#test/support/tampering/owner.ts';
import { past, said, verify, whole } from '#test/support/tampering/past.ts';

/** For whoever changes files only. The owner changes the log itself, so each of his tests makes one. */
const p = past();

describe('tampering is told', () => {
  it.each(FILES)('with files: %s', async (_, tampered, expected) => {
    expect(said(await verify(p, tampered(p)))).toBe(expected);
  });

  it.each(OWNER)('by the owner: %s', async (_, tampered, expected) => {
    const owned = past();
    expect(said(await verify(owned, tampered(owned)))).toBe(expected);
  });

  const leaf = Object.keys((JSON.parse(rowsOf(whole(p))[AT]!.entry) as { body: object }).body);
  it.each(leaf.map((name) => [name]))('in a leaf: %s', async (name) => {
    const verdict = await verify(p, withLeaf(whole(p), name, name === 'v' ? 2 : 'edited'));
    expect(verdict).toMatchObject({
      verdict: 'tampered',
      finding: { file: ROWS_FILE, line: AT + 1, sequence: AT + 1 },
    });
  });

  it.each([
    ['kind', 'outcome'],
    ['sequence', 6],
    ['source', { epoch: 'x', index: 0, sequence: 5, stream: 'DECISIONS' }],
    ['tenant', 'bolt'],
    ['v', 2],
  ])('in an entry: %s', async (name, value) => {
    const files = withRow(whole(p), ({ entry }) => ({
      entry: JSON.stringify({ ...(JSON.parse(entry) as object), [name]: value }),
    }));
    expect(await verify(p, files)).toMatchObject({
      verdict: 'tampered',
      finding: { line: AT + 1 },
    });
  });

  it('anywhere: one byte of the rows', async () => {
    const files = whole(p);
    const rows = files.get(ROWS_FILE)!;
    await fc.assert(
      fc.asyncProperty(
        fc.nat(rows.length - 2),
        fc.integer({ min: 33, max: 126 }),
        async (at, byte) => {
          const other = rows.slice(0, at) + String.fromCharCode(byte) + rows.slice(at + 1);
          // The last line break may go: a text file without it is the same lines.
          if (other === rows) return;
          expect((await verify(p, new Map(files).set(ROWS_FILE, other))).verdict).not.toBe(
            'intact',
          );
        },
      ),
      runs(300),
    );
  });
});

describe('what is honest is intact', () => {
  it.each(HONEST)('an export %s', async (_, made) => {
    expect(said(await verify(p, made(p)))).toBe('intact');
  });

  it('also after a key of the log was replaced, for whoever believes both', async () => {
    const { log, size, held, policy } = past();
    const before = showVerifierKey(verifierKeyOf(log.logKey));
    log.logKey = { name: log.logKey.name, type: NOTE_ED25519, seed: randomBytes(32) };
    log.append('acme', 1);
    log.seal();
    const both = { ...log.policy, logs: [...log.policy.logs, ...policy.logs] };
    const files = withManifest(log.export('acme', { since: size }), ({ log_keys: keys }) => ({
      log_keys: [before, ...keys],
    }));
    expect(said(await verifyExport(filesOf(files), both, held))).toBe('intact');
  });
});

it('are at least forty classes, beside the fields', () => {
  expect(FILES.length + OWNER.length).toBeGreaterThanOrEqual(40);
});
