// A witness policy from a file.

import { readFileSync } from 'node:fs';

import { CliError } from '#cli/output.ts';
import {
  parseWitnessPolicy,
  type WitnessPolicy,
  WitnessPolicyError,
} from '#contracts/witness-policy.ts';

/** The policy in a file. Throws CliError. */
export function policyIn(file: string): WitnessPolicy {
  try {
    return parseWitnessPolicy(readFileSync(file));
  } catch (cause) {
    const why = cause instanceof WitnessPolicyError ? cause.message : 'it cannot be read';
    throw new CliError(`${file} is no policy: ${why}.`, { cause });
  }
}
