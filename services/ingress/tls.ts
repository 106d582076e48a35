/** TLS of the ingress itself: its certificate, and whose client certificates it takes. */
import { readFileSync } from 'node:fs';

import { ConfigError } from '#host/config.ts';

import type { IngressConfig } from './config.ts';

export interface Tls {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca?: Buffer;
  readonly requestCert: true;
  readonly rejectUnauthorized: boolean;
  readonly minVersion: 'TLSv1.2';
  readonly handshakeTimeout: number;
}

const HANDSHAKE_MS_MAX = 5_000;

/**
 * Undefined = plain HTTP. Clients are asked for a certificate and need none; without a CA any counts, by its thumbprint
 * alone, which is what RFC 8705 binds a token to. With a CA everybody needs one that it signed. @throws ConfigError
 */
export function tlsOf(config: IngressConfig): Tls | undefined {
  const { COUNTERSIGN_INGRESS_TLS_CERT_FILE: cert, COUNTERSIGN_INGRESS_TLS_KEY_FILE: key } = config;
  const ca = config.COUNTERSIGN_INGRESS_TLS_CLIENT_CA_FILE;
  if (cert === '' && key === '' && ca === '') return undefined;
  if (cert === '' || key === '') {
    throw new ConfigError([
      'COUNTERSIGN_INGRESS_TLS_CERT_FILE and COUNTERSIGN_INGRESS_TLS_KEY_FILE belong together',
    ]);
  }
  return {
    cert: read('COUNTERSIGN_INGRESS_TLS_CERT_FILE', cert),
    key: read('COUNTERSIGN_INGRESS_TLS_KEY_FILE', key),
    ...(ca === '' ? {} : { ca: read('COUNTERSIGN_INGRESS_TLS_CLIENT_CA_FILE', ca) }),
    requestCert: true,
    rejectUnauthorized: ca !== '',
    minVersion: 'TLSv1.2',
    handshakeTimeout: HANDSHAKE_MS_MAX,
  };
}

function read(name: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch {
    throw new ConfigError([`${name}: ${file} cannot be read`]);
  }
}
