/** The key that signs checkpoints, and the history of those before it: a verifier takes each for what it signed. */
import {
  NOTE_ED25519,
  parseSignerKey,
  showVerifierKey,
  type SignerKey,
  verifierKeyOf,
} from '#contracts/note.ts';
import { ConfigError, readSecret } from '#host/config.ts';
import { inTransaction } from '#host/database.ts';

import { append, type ChainStore } from './append.ts';
import { alert } from './candidate.ts';

/** Its name is the origin of the log. @throws ConfigError */
export function readLogKey(file: string): SignerKey {
  const key = parseSignerKey(readSecret(file, 'key of the log'), NOTE_ED25519);
  if (key === undefined) throw new ConfigError([`key of the log: ${file} holds none`]);
  return key;
}

/**
 * Writes the key down before it signs. A new one is an event in the chain of the platform: told at each start, so that a
 * crash in between does not swallow it, and chained once.
 */
export async function introduceLogKey(store: ChainStore, signer: SignerKey): Promise<void> {
  const vkey = showVerifierKey(verifierKeyOf(signer));
  const keys = await inTransaction(store.pool, async (client) => {
    const tree = await client.query<{ size: number }>('select size from tree for update');
    await client.query(
      'insert into log_keys (vkey, since_size, at) values ($1, $2, $3) on conflict do nothing',
      [vkey, tree.rows[0]?.size ?? 0, Date.now()],
    );
    const known = await client.query<{ vkey: string }>('select vkey from log_keys order by at');
    return known.rows.map((row) => row.vkey);
  });
  const replaced = keys[keys.indexOf(vkey) - 1];
  if (replaced === undefined) return;
  const what = {
    action: 'replace_log_key',
    id: `log-key/${verifierKeyOf(signer).id}`,
    target: vkey,
  };
  await append(store, [alert({ ...what, at: Date.now(), reason: `after ${replaced}` })]);
}
