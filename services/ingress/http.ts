/** The HTTP server of the ingress and the rules that every route obeys: strict bodies, one shape of refusal. */
import type { Socket } from 'node:net';

import Fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
} from 'fastify';

import { TOKEN_CHARS_MAX } from '#contracts/call.ts';
import { IDENTITY_ALGORITHMS } from '#contracts/control.ts';
import { type Json, MalformedJson, type MalformedJsonCode, parseStrict } from '#contracts/json.ts';
import { publicReason, type Reason, reasonSpec } from '#contracts/reasons.ts';
import type { Logger } from '#host/log.ts';

import type { Question } from './ask.ts';
import type { Tls } from './tls.ts';

/**
 * A request that is refused before anybody judged it; the error handler answers with the public reason.
 * `detail` goes out with it and MUST NOT hold input; it may hold a place in the input.
 */
export class Refused extends Error {
  readonly code: Reason;
  constructor(code: Reason, detail = '') {
    super(detail);
    this.code = code;
  }
}

export interface HttpOptions {
  readonly log: Logger;
  /** Origins of web pages that may call, beside those of loopback. */
  readonly allowedOrigins: readonly string[];
  /** Undefined = plain HTTP. */
  readonly tls?: Tls | undefined;
  /** Addresses of proxies whose X-Forwarded-For is believed; empty = none. */
  readonly trustedProxies: readonly string[];
  /** Told of every request that was refused before a worker was asked. */
  readonly onRefused: (code: Reason) => void;
}

export const BODY_BYTES_MAX = 1024 * 1024;
/** An identity and a capability of 16 KiB each have to fit. */
const HEADER_BYTES_MAX = 64 * 1024;
/** Until the last byte of a request has come; a slow sender holds a socket for no longer. */
const REQUEST_MS_MAX = 10_000;
const HEADERS_MS_MAX = 5_000;
const SLOW_SWEEP_MS = 1_000;
const KEEP_ALIVE_MS = 75_000;
const RETRY_AFTER_SECONDS = '1';
const JSON_TYPE = 'application/json; charset=utf-8';

/** A server with the given routes, not listening yet; other methods of their paths answer 405. */
export function createHttp(
  options: HttpOptions,
  register: (app: FastifyInstance) => void,
): FastifyInstance {
  const { log, trustedProxies } = options;
  const app = createServer(options.tls, {
    logger: false,
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: REQUEST_MS_MAX,
    keepAliveTimeout: KEEP_ALIVE_MS,
    forceCloseConnections: 'idle',
    trustProxy: trustedProxies.length === 0 ? false : [...trustedProxies],
    clientErrorHandler: refuseConnection,
    // An address that cannot be decoded.
    frameworkErrors: (_error, _request, reply) => void refuse(reply, 'request.not_found'),
  });
  app.removeAllContentTypeParsers();
  // Bytes as they came: what type they may be is `bodyOf`'s to say. The first line is there because Fastify remembers
  // parsers of named types only.
  for (const type of ['application/json', '*']) {
    app.addContentTypeParser<Buffer>(type, { parseAs: 'buffer' }, (_, body, done) => {
      done(null, body);
    });
  }
  app.addHook('onRequest', (request, reply, done) => {
    const id = request.headers['x-request-id'];
    if (id !== undefined) void reply.header('x-request-id', id);
    done(originRefusal(request.headers.origin, options.allowedOrigins));
  });
  app.setErrorHandler((error: FastifyError | Refused, request, reply) => {
    const refusal = refusalOf(error);
    options.onRefused(refusal.code);
    if (refusal.code === 'service.failed')
      log.error({ err: error, url: request.routeOptions.url }, 'request failed');
    return refuse(reply, refusal.code, refusal.message);
  });
  app.setNotFoundHandler((_, reply) => refuse(reply, 'request.not_found'));
  endUnusedConnections(app, options.tls === undefined ? 'connection' : 'secureConnection');
  const methods = followMethods(app);
  register(app);
  refuseOtherMethods(app, methods);
  return app;
}

const SERVER = {
  maxHeaderSize: HEADER_BYTES_MAX,
  headersTimeout: HEADERS_MS_MAX,
  connectionsCheckingInterval: SLOW_SWEEP_MS,
  // A repeated header is seen as one with a comma, and refused, instead of being dropped by taking the first.
  joinDuplicateHeaders: true,
};

function createServer(tls: Tls | undefined, options: FastifyServerOptions): FastifyInstance {
  if (tls === undefined) return Fastify({ ...options, http: SERVER });
  // Routes see no difference; only the server's own type has another name.
  const https = { ...SERVER, ...tls };
  return Fastify({ ...(options as object), https }) as unknown as FastifyInstance;
}

/** Node does not count a connection as idle over which nothing came yet; it would hold up the end of this process. */
function endUnusedConnections(
  app: FastifyInstance,
  opened: 'connection' | 'secureConnection',
): void {
  const unused = new Set<Socket>();
  app.server.on(opened, (socket: Socket) => {
    unused.add(socket);
    socket.once('close', () => unused.delete(socket));
  });
  app.server.on('request', ({ socket }) => unused.delete(socket));
  app.addHook('preClose', async () => {
    for (const socket of unused) socket.destroy();
  });
}

/** Sends the refusal of a code in the one shape that all routes share. */
export function refuse(reply: FastifyReply, code: Reason, detail = ''): FastifyReply {
  const { status } = reasonSpec(code);
  const plain = publicReason(code);
  const reason = detail === '' ? plain : { ...plain, message: `${plain.message} ${detail}` };
  if (status === 401) void reply.header('www-authenticate', challenge(code));
  if (status === 429 || status === 503) void reply.header('retry-after', RETRY_AFTER_SECONDS);
  return sendJson(reply.code(status), JSON.stringify({ verdict: 'block', reason }));
}

/** Sends text that is JSON already. */
export function sendJson(reply: FastifyReply, text: string): FastifyReply {
  return reply.header('content-type', JSON_TYPE).send(text);
}

/** Value of WWW-Authenticate (RFC 6750, section 3: no error code where no token was sent; RFC 9449, section 7.1). */
export function challenge(code: Reason): string {
  const said = `error_description="${reasonSpec(code).text}"`;
  const proof = PROOF_ERRORS[code];
  if (proof !== undefined) {
    return `DPoP realm="countersign", error="${proof}", ${said}, algs="${PROOF_ALGORITHMS}"`;
  }
  const realm = 'Bearer realm="countersign"';
  return code === 'identity.missing' ? realm : `${realm}, error="invalid_token", ${said}`;
}

/** Errors of RFC 9449, section 7.1. */
const PROOF_ERRORS: Partial<Record<Reason, string>> = {
  'identity.sender': 'invalid_token',
  'identity.proof': 'invalid_dpop_proof',
  'identity.proof_replayed': 'invalid_dpop_proof',
  'identity.proof_nonce': 'use_dpop_nonce',
};
const PROOF_ALGORITHMS = IDENTITY_ALGORITHMS.join(' ');

/** An identity as it was sent. */
export interface Credentials {
  readonly token: string;
  readonly scheme: 'bearer' | 'dpop';
}

const NO_CREDENTIALS: Credentials = { token: '', scheme: 'bearer' };
const AUTHORIZATION = /^(bearer|dpop) +([A-Za-z0-9._~+/=-]+)$/i;

/** The identity of a request; token '' when there is none. @throws Refused identity.malformed, request.header */
export function credentialsOf(request: FastifyRequest): Credentials {
  const header = request.headers.authorization;
  if (header === undefined || header === '') return NO_CREDENTIALS;
  if (header.includes(',')) throw new Refused('request.header', 'Authorization is repeated.');
  const [, scheme = '', token = ''] = AUTHORIZATION.exec(header) ?? [];
  if (token === '' || token.length > TOKEN_CHARS_MAX) throw new Refused('identity.malformed');
  return { token, scheme: scheme.length === 'dpop'.length ? 'dpop' : 'bearer' };
}

/** Name of the header with the capability. */
export const CAPABILITY_HEADER = 'countersign-capability';

/** The capability of a request; '' when there is none. @throws Refused request.header */
export function capabilityOf(request: FastifyRequest): string {
  const header = request.headers[CAPABILITY_HEADER];
  if (header === undefined) return '';
  if (typeof header !== 'string' || header.includes(',') || header.length > TOKEN_CHARS_MAX) {
    throw new Refused('request.header', 'Countersign-Capability is repeated or too long.');
  }
  return header;
}

const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The trace that a request belongs to, as part of a call; nothing when it names none in the form of W3C Trace Context. */
export function traceparentOf(request: FastifyRequest): { readonly traceparent?: string } {
  const header = request.headers['traceparent'];
  return typeof header === 'string' && TRACEPARENT.test(header) ? { traceparent: header } : {};
}

const CLIENT_CHARS_MAX = 128;

/** Where a request comes from, by its own words but for the address. */
export function clientOf(request: FastifyRequest): Question['client'] {
  const name = request.headers['user-agent']?.slice(0, CLIENT_CHARS_MAX) ?? '';
  return { address: request.ip, name, version: '', era: '' };
}

const MALFORMED: Record<MalformedJsonCode, Reason> = {
  too_large: 'request.too_large',
  invalid_utf8: 'request.encoding',
  byte_order_mark: 'request.encoding',
  syntax: 'request.syntax',
  too_deep: 'request.depth',
  too_many_members: 'request.members',
  duplicate_key: 'request.duplicate_key',
  forbidden_key: 'request.forbidden_key',
  lone_surrogate: 'request.surrogate',
  number_not_finite: 'request.number',
  integer_out_of_range: 'request.number',
};

const JSON_CONTENT = /^application\/json(?: *; *charset="?utf-8"?)?$/i;

/** The strictly parsed body. Untrusted: every byte. @throws Refused request.* */
export function bodyOf(request: FastifyRequest): Json {
  const { 'content-type': type = '', 'content-encoding': encoding } = request.headers;
  if ((type !== 'application/json' && !JSON_CONTENT.test(type)) || encoding !== undefined) {
    throw new Refused('request.content_type');
  }
  // The content type parser above gives bytes, and nothing at all for an empty body.
  const bytes = (request.body as Buffer | undefined) ?? Buffer.alloc(0);
  try {
    return parseStrict(bytes);
  } catch (error) {
    if (!(error instanceof MalformedJson)) throw error;
    throw new Refused(MALFORMED[error.code], `At byte ${error.offset}.`);
  }
}

/** The strictly parsed body of a documented shape. @throws Refused request.* */
export function bodyAs<T>(request: FastifyRequest, shape: Shape<T>): T {
  const body = bodyOf(request);
  if (!shape.Check(body)) throw new Refused('request.schema', faultOf(shape, body));
  return body as T; // `Check` just held
}

interface Fault {
  readonly keyword: string;
  readonly instancePath: string;
  readonly message: string;
}

/** What a compiled schema offers. */
export interface Shape<T> {
  readonly Check: (value: unknown) => value is T;
  readonly Errors: (value: unknown) => Fault[];
}

/** Place and kind of the first fault of a value that does not fit; places are names of the schema, never input. */
export function faultOf(shape: Shape<unknown>, value: unknown, at = ''): string {
  // An unknown property is reported twice; the report at its own place would repeat its name.
  const fault = shape.Errors(value).find(({ keyword }) => keyword !== 'boolean');
  const place = at + (fault?.instancePath ?? '');
  return `${place === '' ? 'The body' : place} ${fault?.message ?? 'does not fit'}.`;
}

/** Size of the body as it came. */
export const bodyBytes = (request: FastifyRequest): number =>
  (request.body as Buffer | undefined)?.length ?? 0;

/** Programs send no origin; a browser does, and then its page has to be one of ours. */
function originRefusal(
  origin: string | undefined,
  allowed: readonly string[],
): Refused | undefined {
  if (origin === undefined || allowed.includes(origin)) return undefined;
  const host = URL.parse(origin)?.hostname ?? '';
  const loopback = host === 'localhost' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host);
  return loopback ? undefined : new Refused('request.origin');
}

function refusalOf(error: FastifyError | Refused): {
  readonly code: Reason;
  readonly message: string;
} {
  if (error instanceof Refused) return error;
  const { statusCode = 500 } = error;
  if (statusCode === 413) return { code: 'request.too_large', message: '' };
  if (statusCode === 415) return { code: 'request.content_type', message: '' };
  if (statusCode < 500) return { code: 'request.header', message: '' };
  return { code: 'service.failed', message: '' };
}

type Methods = ReadonlyMap<string, ReadonlySet<string>>;

/** Methods by path of all routes that are registered from now on. */
function followMethods(app: FastifyInstance): Methods {
  const methods = new Map<string, Set<string>>();
  app.addHook('onRoute', ({ url, method }) => {
    const known = methods.get(url) ?? new Set();
    for (const name of [method].flat()) known.add(name);
    methods.set(url, known);
  });
  return methods;
}

function refuseOtherMethods(app: FastifyInstance, methods: Methods): void {
  for (const [url, known] of methods) {
    const allow = [...known].join(', ');
    app.route({
      url,
      method: app.supportedMethods.filter((name) => !known.has(name)),
      // Before a body is read: some methods are refused without one.
      onRequest: (_request, reply) => void refuse(reply.header('allow', allow), 'request.method'),
      handler: () => undefined,
    });
  }
}

const TOO_SLOW = 'ERR_HTTP_REQUEST_TIMEOUT';

/** What cannot be read as HTTP, or does not arrive in time, is refused on the bare socket. */
function refuseConnection(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const code = error.code === TOO_SLOW ? 'request.timeout' : 'request.header';
  const body = JSON.stringify({ verdict: 'block', reason: publicReason(code) });
  socket.end(
    `HTTP/1.1 ${reasonSpec(code).status} Refused\r\nConnection: close\r\nContent-Type: ${JSON_TYPE}\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
