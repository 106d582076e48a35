// Policies that a chainer starts with, and those that would leave it unwitnessed for ever: told at once, all problems.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, expect, test } from 'vitest';

import { NOTE_ED25519, showVerifierKey, verifierKeyOf } from '#contracts/note.ts';
import { ConfigError } from '#host/config.ts';

import { readWitnessPolicy } from '../../../services/audit-chainer/witness-policy.ts';

const folder = mkdtempSync(join(tmpdir(), 'policy-'));
afterAll(() => rmSync(folder, { recursive: true }));

const signer = { name: 'log.example/a', type: NOTE_ED25519, seed: Buffer.alloc(32, 1) };
const OWN = showVerifierKey(verifierKeyOf(signer));
const OTHER = showVerifierKey(verifierKeyOf({ ...signer, seed: Buffer.alloc(32, 2) }));
const W1 = 'w1.example+ed70ca96+BGbxxKk3kF76xgCaVSTBf9bWa2+G5MiM3nLXtEy2epzj';
const W2 = 'w2.example+a4d67b25+BKYDIisf7zfAKc2Flz+xOrebv5ODKd0K9JrFcx2WLfZl';

function problems(text: string): readonly string[] {
  const file = join(folder, 'policy');
  writeFileSync(file, text);
  try {
    readWitnessPolicy(file, signer);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map((problem) => problem.replace(`witness policy: ${file}: `, ''));
  }
}

test.each([
  ['no witness', `log ${OWN}\nquorum none\n`, []],
  ['no log line at all', 'quorum none\n', []],
  ['a witness', `log ${OWN}\nwitness a ${W1} http://127.0.0.1:1\nquorum a\n`, []],
  ['the key before and ours', `log ${OTHER}\nlog ${OWN}\nquorum none\n`, []],
  [
    'a second witness that only verifiers know',
    `log ${OWN}\nwitness a ${W1} https://a.example/\nwitness b ${W2}\ngroup g any a b\nquorum g\n`,
    [],
  ],
  [
    'other logs only',
    `log ${OTHER}\nquorum none\n`,
    [`has no line "log ${OWN}", so nobody who goes by it believes this log`],
  ],
  [
    'a quorum that nobody can be asked for',
    `log ${OWN}\nwitness a ${W1} https://a.example/\nwitness b ${W2}\ngroup g all a b\nquorum g\n`,
    ['has too few witnesses with an address for its quorum'],
  ],
  [
    'an address that is none',
    `log ${OWN}\nwitness a ${W1} a.example:80\nquorum a\n`,
    ['the address of witness a is not http or https'],
  ],
  ['no policy', 'hello\n', ['line 1: "hello" is not a keyword']],
])('%s', (_, text, expected) => {
  expect(problems(text)).toEqual(expected);
});

test('a file that is not there', () => {
  expect(() => readWitnessPolicy(join(folder, 'none'), signer)).toThrow(/cannot be read/);
});
