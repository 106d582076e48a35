/**
 * How the sender of a request proves that it holds a key: by a DPoP proof (RFC 9449), or by the certificate of its TLS
 * connection (RFC 8705). The ingress passes on what it saw, the worker checks it; a request without any has none of it.
 */
import { Type, type Static } from 'typebox';

export const PROOF_CHARS_MAX = 8 * 1024;
/** A proof is taken this long after it was made, plus the tolerated difference of clocks. */
export const PROOF_SECONDS_MAX = 60;
/** base64url of 32 bytes. */
export const THUMBPRINT_PATTERN = '^[A-Za-z0-9_-]{43}$';

export const Sender = Type.Object(
  {
    /** Names the HTTP request: several calls of one request stand on one proof. */
    request: Type.String({ minLength: 1, maxLength: 64 }),
    /** Scheme under which the identity was sent. */
    scheme: Type.Union([Type.Literal('bearer'), Type.Literal('dpop')]),
    /** Header `DPoP` as it came. */
    proof: Type.Optional(Type.String({ minLength: 1, maxLength: PROOF_CHARS_MAX })),
    method: Type.String({ maxLength: 16 }),
    /** Public address of the request, without query. */
    url: Type.String({ maxLength: 2_048 }),
    /** SHA-256 of the certificate whose key the sender proved in TLS. */
    certificate: Type.Optional(Type.String({ pattern: THUMBPRINT_PATTERN })),
  },
  { additionalProperties: false },
);
export type Sender = Static<typeof Sender>;

/** Thumbprints of keys, by the names of RFC 7800's `cnf`; '' = none. */
export interface SenderKeys {
  readonly jkt: string;
  readonly 'x5t#S256': string;
}

export const NO_KEYS: SenderKeys = { jkt: '', 'x5t#S256': '' };
