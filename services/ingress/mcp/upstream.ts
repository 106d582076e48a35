/** The way to a registered tool server: one HTTP request with our credential, its answer as a stream. */
import type { Readable } from 'node:stream';

import { Agent, request } from 'undici';

import { CONTROL_KEYS, type Upstream } from '#contracts/control.ts';
import type { ControlView } from '#host/control-view.ts';

import type { CredentialOf } from './credential.ts';

export interface UpstreamRequest {
  readonly method: 'POST' | 'GET' | 'DELETE';
  readonly headers: Readonly<Record<string, string>>;
  /** JSON text; '' = no body. */
  readonly body: string;
  readonly signal: AbortSignal;
  /** The answer may stay silent for any time: a stream that waits for events. */
  readonly silent?: boolean;
}

export interface UpstreamResponse {
  readonly status: number;
  /** Media type in lower case, without parameters. */
  readonly type: string;
  readonly sessionId: string;
  readonly body: Readable;
}

/** A registered upstream that speaks MCP. */
export interface Target {
  readonly name: string;
  /** How long it may be silent. */
  readonly timeoutMs: number;
  /** Each call that is forwarded to it carries its receipt. */
  readonly receipts: boolean;
  /** @throws UpstreamAway, NoCredential */
  readonly send: (what: UpstreamRequest) => Promise<UpstreamResponse>;
}

export interface Upstreams {
  /** Undefined for what is not registered in that tenant, or is no MCP server. */
  readonly find: (tenant: string, name: string) => Target | undefined;
  readonly close: () => Promise<void>;
}

/** No answer came. `sent` is false when the upstream surely never got the request. */
export class UpstreamAway extends Error {
  readonly sent: boolean;
  constructor(sent: boolean, options: ErrorOptions) {
    super('the tool server did not answer', options);
    this.sent = sent;
  }
}

const TIMEOUT_DEFAULT_MS = 60_000;
const CONNECT_MS_MAX = 5_000;
const HEADER_BYTES_MAX = 64 * 1024;
const NEVER_SENT = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
  'ERR_TLS_CERT_ALTNAME_INVALID',
]);

export function createUpstreams(view: ControlView, credentialOf: CredentialOf): Upstreams {
  const dispatcher = new Agent({
    connect: { timeout: CONNECT_MS_MAX },
    maxHeaderSize: HEADER_BYTES_MAX,
    // A call waits for its tool, not for other calls.
    pipelining: 1,
  });
  const targetOf = (tenant: string, name: string, upstream: Upstream): Target => ({
    name,
    timeoutMs: upstream.timeout_ms ?? TIMEOUT_DEFAULT_MS,
    receipts: upstream.receipts ?? true,
    send: async ({ method, headers, body, signal, silent = false }) => {
      const credential = await credentialOf(tenant, upstream);
      const timeout = upstream.timeout_ms ?? TIMEOUT_DEFAULT_MS;
      try {
        const response = await request(upstream.url, {
          dispatcher,
          method,
          headers: { ...headers, ...credential },
          body: body === '' ? null : body,
          signal,
          headersTimeout: timeout,
          bodyTimeout: silent ? 0 : timeout,
        });
        // Whoever reads meets the error; a body that is thrown away must not end the process by it.
        response.body.on('error', () => undefined);
        return {
          status: response.statusCode,
          type: mediaType(response.headers['content-type']),
          sessionId: text(response.headers['mcp-session-id']),
          body: response.body,
        };
      } catch (cause) {
        throw new UpstreamAway(!NEVER_SENT.has(codeOf(cause)), { cause });
      }
    },
  });
  return {
    find: (tenant, name) => {
      const upstream = view.get<Upstream>(CONTROL_KEYS.upstream(tenant, name))?.value ?? undefined;
      if (upstream === undefined || upstream.kind === 'none') return undefined;
      return targetOf(tenant, name, upstream);
    },
    close: () => dispatcher.destroy(),
  };
}

const text = (value: string | string[] | undefined): string =>
  typeof value === 'string' ? value : '';

const mediaType = (value: string | string[] | undefined): string =>
  text(value).split(';')[0]?.trim().toLowerCase() ?? '';

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
