// Our witness and a stranger's client: the one of transparency-dev (Go), unpatched, with a log of its own.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { describe, expect, test } from 'vitest';

import { NOTE_ED25519, showSignerKey, showVerifierKey, verifierKeyOf } from '#contracts/note.ts';
import { foreignWitness } from '#test/support/foreign-witness.ts';
import { witnessFolder } from '#test/support/witness.ts';

import { start } from '../../../services/witness/main.ts';

const program = await foreignWitness();

describe.skipIf(program === undefined)('the client of transparency-dev', () => {
  test('gets cosignatures that it verifies, and is refused where it shows two pasts', async () => {
    const name = 'foreign.example/log';
    const signer = { name, type: NOTE_ED25519, seed: Buffer.alloc(32, 1) };
    const folder = await witnessFolder([showVerifierKey(verifierKeyOf(signer))]);
    const witness = await start(folder.config);
    try {
      const url = `http://127.0.0.1:${witness.port}`;
      const { stdout } = await promisify(execFile)(program ?? '', [
        'log',
        url,
        folder.vkey,
        showSignerKey(signer),
      ]);
      const by = 'by witness.example/test';
      expect(stdout.trim().split('\n')).toEqual([
        ...[1, 2, 3, 8, 9, 100, 257].map((size) => `cosigned ${size} ${by}`),
        'stale: old size != current 257',
        'fork: roots do not match',
        'rewritten: consistency proof invalid',
      ]);
    } finally {
      await witness.stop();
      await folder.remove();
    }
  });
});
