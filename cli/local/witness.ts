// The witness of a local system, with the policy file that names it. It separates nothing, being on the same machine,
// but everything that a real one takes is there: another process, its own key, its own store.

import { existsSync, readFileSync } from 'node:fs';

import { CliError } from '#cli/output.ts';
import {
  COSIGNATURE_ED25519,
  NOTE_ED25519,
  parseSignerKey,
  showVerifierKey,
  verifierKeyOf,
} from '#contracts/note.ts';

import { makeWitness, witnessFiles } from '../../services/witness/make.ts';
import { placesIn } from './places.ts';
import { writePrivate } from './private-file.ts';

export interface LocalWitness {
  readonly keyFile: string;
  readonly store: string;
  /** Policy of the chainer; its `log` lines are what the witness watches. */
  readonly policyFile: string;
}

const NAME = 'countersign.local/witness';

/** First line of a policy file that nobody has made their own. */
const OURS =
  '# Written anew at each start of the local system; remove this line to keep what you write here.';

/** Makes the witness of the system below `dir` if there is none, and writes the policy unless somebody owns it. */
export function prepareWitness(
  dir: string,
  { logKeyFile, url }: { readonly logKeyFile: string; readonly url: string },
): LocalWitness {
  const { witness, witnessPolicy: policyFile } = placesIn(dir);
  const { key: keyFile, store } = witnessFiles(witness);
  if (!existsSync(keyFile)) makeWitness(witness, NAME);
  if (!existsSync(policyFile) || readFileSync(policyFile, 'utf8').startsWith(OURS)) {
    const lines = [
      OURS,
      '# A witness on the same machine separates nothing. How to add one elsewhere: docs/witness.md',
      `log ${vkeyIn(logKeyFile, NOTE_ED25519)}`,
      `witness local ${vkeyIn(keyFile, COSIGNATURE_ED25519)} ${url}`,
      'quorum local',
    ];
    writePrivate(policyFile, `${lines.join('\n')}\n`);
  }
  return { keyFile, store, policyFile };
}

function vkeyIn(file: string, type: number): string {
  const key = parseSignerKey(readFileSync(file, 'utf8').trim(), type);
  if (key === undefined) throw new CliError(`${file} holds no key.`, { help: 'put it back' });
  return showVerifierKey(verifierKeyOf(key));
}
