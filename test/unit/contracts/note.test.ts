// Signed notes against one that Go's golang.org/x/mod/sumdb/note and transparency-dev/formats have signed.
import { describe, expect, test } from 'vitest';

import {
  COSIGNATURE_ED25519,
  NOTE_ED25519,
  noteOf,
  openNote,
  parseSignerKey,
  parseVerifierKey,
  showSignerKey,
  showVerifierKey,
  signatureLine,
  type SignerKey,
  verifierKeyOf,
} from '#contracts/note.ts';

const SKEY = 'PRIVATE+KEY+w1.example+253f9a1d+AXt4BJI9gm9/vRpZ6WvnPVsHeYkvRpO07I/kBt3Yq8Jf';
const WITNESS = 'w1.example+ed70ca96+BGbxxKk3kF76xgCaVSTBf9bWa2+G5MiM3nLXtEy2epzj';
const TEXT = 'w1.example\n3\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n';
const SIGNED =
  '\u2014 w1.example JT+aHVo6aS5XGV1hBGdQsZopW+QHuvB2CHrgwfRW9zqyOYkNmAwhhJB5vqzrL9FXMhJ1d56EmC5TH5D2sNGskCqqxAc=\n';
const COSIGNED =
  '\u2014 w1.example 7XDKlgAAAABrAVpZxUL7LtrkOHZ4uCPPZnBuPKMslGrcU3214fOO0BDDkCs4vOyVReBuXg7mnMsK23gQtasxgUYYriUGu3rXnInFAw==\n';
const SECONDS = 1_795_250_777;

const signer = (type: number): SignerKey => {
  const key = parseSignerKey(SKEY, type);
  if (key === undefined) throw new Error('not a key');
  return key;
};
const plain = verifierKeyOf(signer(NOTE_ED25519));
const witness = verifierKeyOf(signer(COSIGNATURE_ED25519));

test('keys as other implementations write them', () => {
  expect(showVerifierKey(witness)).toBe(WITNESS);
  expect(parseVerifierKey(WITNESS)).toEqual(witness);
  expect(parseVerifierKey(showVerifierKey(plain))).toEqual(plain);
  expect(showSignerKey(signer(COSIGNATURE_ED25519))).toBe(SKEY);
});

test('signatures as other implementations make them', () => {
  expect(signatureLine(TEXT, signer(NOTE_ED25519))).toBe(SIGNED);
  expect(signatureLine(TEXT, signer(COSIGNATURE_ED25519), SECONDS)).toBe(COSIGNED);
});

test('a note opens with the keys that are known', () => {
  const note = noteOf(TEXT, [SIGNED, COSIGNED]);
  expect(openNote(note, [plain, witness])).toEqual({
    text: TEXT,
    signatures: [
      { key: plain, seconds: 0, line: SIGNED },
      { key: witness, seconds: SECONDS, line: COSIGNED },
    ],
  });
  expect(openNote(note, [witness])?.signatures).toHaveLength(1);
});

describe('notes that do not open', () => {
  const other = verifierKeyOf({ ...signer(NOTE_ED25519), name: 'other.example' });
  const broken = SIGNED.replace('JT+aHVo6', 'JT+aHVo7');
  test.each([
    ['no known key', noteOf(TEXT, [SIGNED]), [other]],
    ['no key at all', noteOf(TEXT, [SIGNED]), []],
    ['another text', noteOf(TEXT.replace('\n3\n', '\n4\n'), [SIGNED]), [plain]],
    ['one of two known signatures is broken', noteOf(TEXT, [broken, COSIGNED]), [plain, witness]],
    ['a plain signature is none of a witness', noteOf(TEXT, [SIGNED]), [witness]],
    ['no signature', noteOf(TEXT, []), [plain]],
    ['no empty line', TEXT + SIGNED, [plain]],
    ['no line break at the end', noteOf(TEXT, [SIGNED]).slice(0, -1), [plain]],
    ['a line that is no signature', noteOf(TEXT, [SIGNED, 'hello\n']), [plain]],
    ['a hyphen for the dash', noteOf(TEXT, [SIGNED.replace('\u2014', '-')]), [plain]],
    ['base64 with stray bits', noteOf(TEXT, [SIGNED.replace('xAc=', 'xAd=')]), [plain]],
    ['a control character', noteOf(TEXT.replace('3', '3\t'), [SIGNED]), [plain]],
  ])('%s', (_, note, keys) => {
    expect(openNote(note, keys)).toBeUndefined();
  });

  test.each([
    ['another id', WITNESS.replace('ed70ca96', 'ed70ca97')],
    ['an id in capitals', WITNESS.replace('ed70ca96', 'ED70CA96')],
    ['a name with a plus', `w1+${WITNESS}`],
    ['no name', WITNESS.slice('w1.example'.length)],
    ['a key that is too short', 'w1.example+ed70ca96+BGbxxKk3'],
    ['a type that is not known', `w1.example+ed70ca96+${Buffer.alloc(33, 9).toString('base64')}`],
  ])('a vkey with %s', (_, vkey) => {
    expect(parseVerifierKey(vkey)).toBeUndefined();
  });
});
