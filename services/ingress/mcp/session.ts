/**
 * Sessions of the old era. The id that the agent gets seals the upstream's own id together with who opened it, so any
 * replica can serve it, and an id that leaks is of no use to anybody else.
 */
import { hash } from 'node:crypto';

import type { Seal } from '../seal.ts';

export interface Session {
  /** As the upstream knows it. */
  readonly upstreamId: string;
  /** Digest of tenant, agent and person that opened it. */
  readonly principal: string;
  /** Names the session in records; no secret. */
  readonly name: string;
}

const PURPOSE = 'mcp session';

/** The id for the agent. */
export function sealSession(
  seal: Seal,
  upstream: string,
  { upstreamId, principal }: Pick<Session, 'upstreamId' | 'principal'>,
): string {
  return seal.wrap(PURPOSE, JSON.stringify([upstream, principal, upstreamId]));
}

/** The session of an id, or undefined when we did not give that id out for this upstream. Untrusted input. */
export function openSession(seal: Seal, upstream: string, id: string): Session | undefined {
  const text = seal.unwrap(PURPOSE, id);
  if (text === undefined) return undefined;
  const [of, principal, upstreamId] = JSON.parse(text) as [string, string, string]; // sealed by us
  return of === upstream ? { upstreamId, principal, name: hash('sha256', id, 'hex') } : undefined;
}
