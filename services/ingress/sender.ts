/**
 * What a request shows of a key that its sender holds: a DPoP proof (RFC 9449), the certificate of its TLS connection
 * (RFC 8705), or one that a trusted proxy names. Only looked at here; the worker checks it. Nothing for other requests.
 */
import { hash, randomBytes, X509Certificate } from 'node:crypto';
import { BlockList, isIP, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

import type { FastifyInstance, FastifyRequest } from 'fastify';

import { PROOF_CHARS_MAX, type Sender } from '#contracts/sender.ts';
import { ConfigError } from '#host/config.ts';

import { type Credentials, Refused } from './http.ts';
import type { Seal } from './seal.ts';

export interface SenderOptions {
  /** Header in which trusted proxies name the client certificate; '' = none is believed. */
  readonly certificateHeader: string;
  /** Addresses or networks of those proxies. */
  readonly trustedProxies: readonly string[];
  /** True = proofs need a nonce of ours. */
  readonly nonce: boolean;
  readonly seal: Pick<Seal, 'wrap' | 'unwrap'>;
  readonly publicUrl: () => string;
}

/** What a request shows; undefined = nothing. @throws Refused identity.proof, identity.proof_nonce, request.header */
export type ReadSender = (
  request: FastifyRequest,
  scheme: Credentials['scheme'],
) => Sender | undefined;

export const PROOF_HEADER = 'dpop';
const NONCE_HEADER = 'dpop-nonce';
const NONCE_PURPOSE = 'dpop-nonce';
const NONCE_MS_MAX = 5 * 60_000;

/** @throws ConfigError for proxies that are no addresses, where a certificate header is believed */
export function senderReader(options: SenderOptions): ReadSender {
  const { certificateHeader, nonce, publicUrl } = options;
  const ofConnection = connectionCertificates();
  const ofProxy =
    certificateHeader === '' ? undefined : proxyCertificates(certificateHeader, options);
  // Fastify numbers the requests of a process.
  const process = randomBytes(9).toString('base64url');
  return (request, scheme) => {
    const proof = proofOf(request);
    const certificate = ofProxy?.(request) ?? ofConnection(request.socket);
    if (proof === undefined && certificate === undefined) {
      if (scheme === 'dpop') throw new Refused('identity.proof', 'There is none.');
      return undefined;
    }
    if (proof !== undefined && nonce && !ours(proof, options.seal)) {
      throw new Refused('identity.proof_nonce');
    }
    return {
      request: `${process}.${request.id}`,
      scheme,
      ...(proof === undefined ? {} : { proof }),
      method: request.method,
      url: publicUrl() + (request.url.split('?')[0] ?? ''),
      ...(certificate === undefined ? {} : { certificate }),
    };
  };
}

/** Gives a fresh nonce with every answer to a request that carries a proof (RFC 9449, section 8). */
export function offerNonces(app: FastifyInstance, seal: Pick<Seal, 'wrap'>): void {
  app.addHook('onRequest', (request, reply, done) => {
    if (request.headers[PROOF_HEADER] !== undefined) {
      void reply.header(NONCE_HEADER, seal.wrap(NONCE_PURPOSE, String(Date.now())));
    }
    done();
  });
}

function proofOf({ headers }: FastifyRequest): string | undefined {
  const proof = headers[PROOF_HEADER];
  if (proof === undefined) return undefined;
  // Two headers are seen as one with a comma (RFC 9449, section 4.3: not more than one).
  if (typeof proof !== 'string' || proof.includes(',')) {
    throw new Refused('identity.proof', 'There is more than one.');
  }
  if (proof === '' || proof.length > PROOF_CHARS_MAX) throw new Refused('identity.proof');
  return proof;
}

/** untrusted: the nonce of a proof whose signature the worker checks afterwards. */
function ours(proof: string, seal: Pick<Seal, 'unwrap'>): boolean {
  let payload: unknown;
  try {
    payload = JSON.parse(Buffer.from(proof.split('.')[1] ?? '', 'base64url').toString());
  } catch {
    return false;
  }
  const { nonce } = (payload ?? {}) as { readonly nonce?: unknown };
  if (typeof nonce !== 'string') return false;
  const made = Number(seal.unwrap(NONCE_PURPOSE, nonce) ?? Number.NaN);
  return Math.abs(Date.now() - made) <= NONCE_MS_MAX;
}

/** The certificate whose key the other end of a TLS connection proved, once for each connection. */
function connectionCertificates(): (socket: Socket) => string | undefined {
  const known = new WeakMap<TLSSocket, string>();
  return (socket) => {
    if (!(socket instanceof TLSSocket)) return undefined;
    let thumbprint = known.get(socket);
    if (thumbprint === undefined) {
      const certificate = socket.getPeerX509Certificate();
      thumbprint = certificate === undefined ? '' : thumbprintOf(certificate);
      known.set(socket, thumbprint);
    }
    return thumbprint === '' ? undefined : thumbprint;
  };
}

const thumbprintOf = ({ raw }: X509Certificate): string => hash('sha256', raw, 'base64url');

/**
 * The certificate that a trusted proxy names: as RFC 9440 writes it (`:base64:`), or as PEM with percent escapes.
 * From anybody else the header counts for nothing.
 */
function proxyCertificates(
  header: string,
  { trustedProxies }: SenderOptions,
): (request: FastifyRequest) => string | undefined {
  const proxies = blockListOf(trustedProxies);
  const name = header.toLowerCase();
  return (request) => {
    const value = request.headers[name];
    const { remoteAddress = '', remoteFamily = '' } = request.socket;
    if (value === undefined || value === '') return undefined;
    const family = remoteFamily === 'IPv6' ? 'ipv6' : 'ipv4';
    if (isIP(remoteAddress) === 0 || !proxies.check(remoteAddress, family)) return undefined;
    try {
      const text = String(value);
      const encoded = /^:([A-Za-z0-9+/=]+):$/.exec(text)?.[1];
      const certificate =
        encoded === undefined ? decodeURIComponent(text) : Buffer.from(encoded, 'base64');
      return thumbprintOf(new X509Certificate(certificate));
    } catch {
      throw new Refused('request.header', 'The client certificate cannot be read.');
    }
  };
}

/** @throws ConfigError */
function blockListOf(addresses: readonly string[]): BlockList {
  const list = new BlockList();
  for (const text of addresses) {
    const [address = '', prefix] = text.split('/');
    const version = isIP(address);
    const family = version === 6 ? 'ipv6' : 'ipv4';
    const bits = prefix === undefined ? (version === 6 ? 128 : 32) : Number(prefix);
    if (version === 0 || !Number.isInteger(bits) || bits < 0 || bits > (version === 6 ? 128 : 32)) {
      throw new ConfigError([
        `COUNTERSIGN_INGRESS_TRUSTED_PROXIES: "${text}" is no address or network; a header with certificates needs them`,
      ]);
    }
    list.addSubnet(address, bits, family);
  }
  return list;
}
