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
  /** The client opens pages for its person (URL elicitation), by its own word when it opened the session. */
  readonly opensUrls: boolean;
  /** Names the session in records; no secret. */
  readonly name: string;
}

const PURPOSE = 'mcp session';

/** The id for the agent. */
export function sealSession(
  seal: Seal,
  upstream: string,
  { upstreamId, principal, opensUrls }: Omit<Session, 'name'>,
): string {
  return seal.wrap(PURPOSE, JSON.stringify([upstream, principal, upstreamId, opensUrls]));
}

/** The session of an id, or undefined when we did not give that id out for this upstream. Untrusted input. */
export function openSession(seal: Seal, upstream: string, id: string): Session | undefined {
  const text = seal.unwrap(PURPOSE, id);
  if (text === undefined) return undefined;
  // Sealed by us.
  const [of, principal, upstreamId, opensUrls] = JSON.parse(text) as [
    string,
    string,
    string,
    boolean,
  ];
  if (of !== upstream) return undefined;
  return { upstreamId, principal, opensUrls, name: hash('sha256', id, 'hex') };
}
