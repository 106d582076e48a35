/** The logs that are witnessed here: the `log` lines of a policy file, read again when the file changes. */
import { readFileSync, statSync } from 'node:fs';

import type { VerifierKey } from '#contracts/note.ts';
import { parseWitnessPolicy } from '#contracts/witness-policy.ts';
import { ConfigError } from '#host/config.ts';

import type { KeysOf } from './cosign.ts';

export interface KnownLogs {
  readonly keysOf: KeysOf;
  /** What is wrong with the file as it is now; the last good one stays in force. Empty for nothing. */
  readonly fault: () => string;
  readonly origins: () => readonly string[];
}

/** @throws ConfigError when the file cannot be read at the start */
export function knownLogs(file: string): KnownLogs {
  let fault = '';
  let seen = '';
  let logs: readonly { readonly key: VerifierKey }[] = [];
  const look = () => {
    try {
      const stamp = stampOf(file);
      if (stamp === seen) return;
      seen = stamp;
      ({ logs } = parseWitnessPolicy(readFileSync(file)));
      fault = '';
    } catch (error) {
      fault = `${file}: ${(error as Error).message}`;
    }
  };
  look();
  if (fault !== '') throw new ConfigError([`logs to witness: ${fault}`]);
  return {
    keysOf: (origin) => {
      look();
      return logs.map(({ key }) => key).filter(({ name }) => name === origin);
    },
    fault: () => {
      look();
      return fault;
    },
    origins: () => [...new Set(logs.map(({ key }) => key.name))],
  };
}

/** Changes whenever the file is written or replaced. */
function stampOf(file: string): string {
  const { ino, size, mtimeNs } = statSync(file, { bigint: true });
  return `${ino}.${size}.${mtimeNs}`;
}
