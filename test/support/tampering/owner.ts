// What can be done to evidence by the owner of everything but the witness.

import { randomBytes } from 'node:crypto';

import { NOTE_ED25519 } from '#contracts/note.ts';
import { type Files, OwnedLog } from '#test/support/owned-log.ts';

import { AT } from './changes.ts';
import type { Past, Tampering } from './past.ts';

/** What the owner of database and log key can do; the witness is not his. */
export const OWNER: readonly Tampering[] = [
  [
    'history rewritten, signed anew, with the old cosignature',
    (p) => {
      rewrite(p.log);
      p.log.cosigned.set(p.log.leaves.length, p.log.cosigned.get(p.size)!);
      return p.log.export('acme', { since: p.size });
    },
    'tampered checkpoint_wrong',
  ],
  [
    'history rewritten, signed anew, without a cosignature',
    (p) => {
      rewrite(p.log);
      p.log.cosigned.clear();
      return p.log.export('acme', { since: p.size });
    },
    'incomplete not_witnessed',
  ],
  [
    'history rewritten, cosigned by a witness of his own',
    (p) => {
      rewrite(p.log);
      const size = p.log.leaves.length;
      p.log.cosign(p.log.sign(size), size, { ...p.log.witnessKey, seed: randomBytes(32) });
      return p.log.export('acme', { since: p.size });
    },
    'incomplete not_witnessed',
  ],
  [
    'history rewritten, and a witness that forgot what it saw',
    (p) => {
      rewrite(p.log);
      const size = p.log.leaves.length;
      p.log.cosign(p.log.sign(size), size);
      return p.log.export('acme', { since: p.size });
    },
    'tampered forked',
  ],
  [
    'a database rolled back to its backup',
    (p) => {
      p.log.leaves = p.log.leaves.slice(0, p.size);
      for (const [tenant, rows] of p.log.chains) p.log.chains.set(tenant, rows.slice(0, 2));
      return new OlderBackup(p).export();
    },
    'tampered rolled_back',
  ],
  [
    'a fork: another history of the same size',
    (p) => {
      const twin = new OwnedLog();
      twin.logKey = p.log.logKey;
      twin.append('acme', 4);
      twin.append('bolt', 3);
      twin.seal();
      twin.cosign(twin.sign(twin.leaves.length), twin.leaves.length, p.log.witnessKey);
      return twin.export('acme', { since: p.size });
    },
    'tampered forked',
  ],
  [
    'the log moved to another key',
    (p) => {
      p.log.logKey = { name: p.log.logKey.name, type: NOTE_ED25519, seed: randomBytes(32) };
      return p.log.export('acme', { since: p.size });
    },
    'tampered checkpoint_wrong',
  ],
  [
    'the tail of a chain cut off in the database',
    (p) => {
      p.log.chains.get('acme')!.splice(-2);
      return p.log.export('acme', { since: p.size });
    },
    'incomplete rows_missing_at_end',
  ],
  [
    'the beginning of a chain cut off in the database',
    (p) => {
      p.log.chains.get('acme')!.splice(0, 1);
      return p.log.export('acme', { since: p.size });
    },
    'incomplete rows_missing_at_end',
  ],
  [
    'a clock put back in one row, and the chain hashed anew',
    (p) => {
      editLeaf(p.log, { at: 1 });
      return p.log.export('acme', { since: p.size });
    },
    'tampered head_not_in_tree',
  ],
  [
    'two tenants spliced',
    (p) => {
      p.log.chains.get('acme')!.splice(5, 4, ...p.log.chains.get('bolt')!.slice(0, 4));
      return p.log.export('acme', { since: p.size });
    },
    'tampered head_not_in_tree',
  ],
];

function editLeaf(log: OwnedLog, change: object): void {
  const row = log.chains.get('acme')![AT]!;
  row.body = JSON.stringify({ ...(JSON.parse(row.body) as object), ...change });
}

function rewrite(log: OwnedLog): void {
  editLeaf(log, { verdict: 'allow', reason: 'policy.allowed' });
  editFirst(log);
  log.rewrite();
}

/** Also what the auditor has seen a checkpoint of. */
function editFirst(log: OwnedLog): void {
  const row = log.chains.get('acme')![0]!;
  row.body = JSON.stringify({ ...(JSON.parse(row.body) as object), verdict: 'block' });
}

/** The first two rows of everybody, with a checkpoint of that time that the witness did cosign then. */
class OlderBackup {
  readonly #past: Past;
  constructor(past: Past) {
    this.#past = past;
  }
  export(): Files {
    const { log } = this.#past;
    log.leaves = [];
    log.seal();
    return log.export('acme');
  }
}
