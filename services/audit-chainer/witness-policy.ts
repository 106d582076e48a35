/** The witness policy of this log, and what is told to people when it is not met. */
import { readFileSync } from 'node:fs';

import { showVerifierKey, type SignerKey, verifierKeyOf } from '#contracts/note.ts';
import {
  parseWitnessPolicy,
  quorumMet,
  type WitnessPolicy,
  WitnessPolicyError,
} from '#contracts/witness-policy.ts';
import { ConfigError } from '#host/config.ts';

import type { Witnesses } from './witnesses.ts';

/** What `quorum none` means. */
export const UNWITNESSED =
  'no witness is asked: whoever owns the database and the key of the log can rewrite the record unnoticed (docs/witness.md)';

/** Longer than a restart of a witness takes. */
const BEHIND_MS_MAX = 30_000;

/**
 * A policy that can be met, for checkpoints of this key.
 * @throws ConfigError for a file that is none, that names other logs only, or whose quorum nobody can be asked for
 */
export function readWitnessPolicy(file: string, signer: SignerKey): WitnessPolicy {
  const policy = parsed(file);
  const own = showVerifierKey(verifierKeyOf(signer));
  const problems: string[] = [];
  if (policy.logs.length > 0 && !policy.logs.some(({ key }) => showVerifierKey(key) === own))
    problems.push(`has no line "log ${own}", so nobody who goes by it believes this log`);
  const asked = new Set(policy.witnesses.filter(({ url }) => url !== '').map(({ name }) => name));
  if (!quorumMet(policy.quorum, (name) => asked.has(name)))
    problems.push('has too few witnesses with an address for its quorum');
  for (const { name, url } of policy.witnesses)
    if (url !== '' && !/^https?:$/.test(URL.parse(url)?.protocol ?? ''))
      problems.push(`the address of witness ${name} is not http or https`);
  if (problems.length === 0) return policy;
  throw new ConfigError(problems.map((problem) => `witness policy: ${file}: ${problem}`));
}

function parsed(file: string): WitnessPolicy {
  try {
    return parseWitnessPolicy(readFileSync(file));
  } catch (error) {
    const why = error instanceof WitnessPolicyError ? error.message : 'cannot be read';
    throw new ConfigError([`witness policy: ${file}: ${why}`]);
  }
}

/** The alarm: empty while witnessing keeps up. Chaining goes on either way. */
export function witnessesBehind(witnesses: Witnesses): string {
  const behindMs = witnesses.behindMs();
  if (behindMs <= BEHIND_MS_MAX) return '';
  const faults = witnesses
    .states()
    .filter(({ fault }) => fault !== '')
    .map(({ witness, fault }) => `${witness}: ${fault}`);
  const since = `no checkpoint has been witnessed for ${Math.floor(behindMs / 1_000)} s`;
  return [since, ...faults].join('; ');
}
