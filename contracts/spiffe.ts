/** SPIFFE IDs (SPIFFE-ID, sections 2.1-2.3): `spiffe://trust-domain/path`. Pure. */

const TRUST_DOMAIN = /^spiffe:\/\/[a-z0-9._-]{1,255}$/;
const ID = /^(spiffe:\/\/[a-z0-9._-]{1,255})(?:\/[A-Za-z0-9._-]+)+$/;
const DOT_SEGMENT = /\/\.{1,2}(?:\/|$)/;

/** True for the id of a trust domain itself, without a path. */
export const isTrustDomain = (text: string): boolean => TRUST_DOMAIN.test(text);

/** The trust domain of a workload's SPIFFE ID as `spiffe://domain`, or undefined for text that is none. */
export const trustDomainOf = (id: string): string | undefined =>
  DOT_SEGMENT.test(id) ? undefined : ID.exec(id)?.[1];
