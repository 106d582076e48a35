/** What identifies one exact call, for idempotency, approval and receipt, and who makes it. */
import { hash } from 'node:crypto';

import { sha256 } from './record.ts';

/**
 * SHA-256 of canonical `{args_hash, definition_hash, tenant, tool, upstream, v}`. Leaves our services and their stores
 * only as a salted commitment: a short call could be guessed from it.
 */
export function callHash(call: {
  readonly tenant: string;
  readonly upstream: string;
  readonly tool: string;
  readonly definitionHash: string;
  /** sha256() of the canonical arguments. */
  readonly argsHash: string;
}): string {
  return sha256(
    `{"args_hash":"${call.argsHash}","definition_hash":"${call.definitionHash}","tenant":"${call.tenant}",` +
      `"tool":${JSON.stringify(call.tool)},"upstream":${JSON.stringify(call.upstream)},"v":1}`,
  );
}

/** Digest of a principal, 32 hex digits: equal only for the same tenant, agent and person. */
export function principalDigest(tenant: string, agent: string, person: string): string {
  return hash('sha256', JSON.stringify([tenant, agent, person]), 'hex').slice(0, 32);
}
