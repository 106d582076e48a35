/** A new witness: its key and, with it, its store. The two belong together for ever. */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import {
  COSIGNATURE_ED25519,
  isKeyName,
  parseSignerKey,
  showSignerKey,
  showVerifierKey,
  type SignerKey,
  verifierKeyOf,
} from '#contracts/note.ts';
import { ConfigError, readSecret } from '#host/config.ts';

import { makeStore } from './store.ts';

/** Files of a witness in its folder. */
export const witnessFiles = (dir: string) => ({
  key: join(dir, 'witness.key'),
  store: join(dir, 'witness.db'),
});

const SEED_BYTES = 32;

/**
 * Makes a witness in a folder that has none. @returns its public key as a vkey
 * @param name a URL without scheme by convention, such as `witness.example/acme`
 */
export function makeWitness(dir: string, name: string): string {
  if (!isKeyName(name)) throw new Error(`"${name}" is no name of a key: no blanks, no plus signs`);
  const { key, store } = witnessFiles(dir);
  if (existsSync(key)) throw new Error(`${key} is there already`);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const signer = { name, type: COSIGNATURE_ED25519, seed: randomBytes(SEED_BYTES) };
  const vkey = showVerifierKey(verifierKeyOf(signer));
  // The store first: a key without a store is a witness that must not start.
  makeStore(store, vkey);
  writeFileSync(key, `${showSignerKey(signer)}\n`, { mode: 0o600, flag: 'wx', flush: true });
  return vkey;
}

/** The key in a file that `makeWitness` wrote. @throws ConfigError */
export function readWitnessKey(file: string): SignerKey {
  const key = parseSignerKey(readSecret(file, 'key of the witness'), COSIGNATURE_ED25519);
  if (key === undefined) throw new ConfigError([`key of the witness: ${file} holds none`]);
  return key;
}
