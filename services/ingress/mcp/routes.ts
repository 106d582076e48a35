/** MCP at /mcp/{upstream}: Streamable HTTP of both eras over one address, each message to the file that knows it. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import { IDENTITY_ALGORITHMS } from '#contracts/control.ts';
import { parseStrict } from '#contracts/json.ts';
import type { Reason } from '#contracts/reasons.ts';

import { compatRoute } from '../compat/route.ts';
import { bodyOf, challenge, Refused, sendJson } from '../http.ts';
import type { Parts, Routes } from '../routes.ts';
import { createCredentials, type CredentialOptions } from './credential.ts';
import { type Exchange, idIn, proveCaller } from './exchange.ts';
import { Fault, faultOf, RPC, sendFault } from './fault.ts';
import { compareHeaders } from './headers.ts';
import { heldPageRoute } from './held-page.ts';
import { checkHost } from './host.ts';
import { eraOf, idOf, type Message, readMessage, type RequestId } from './message.ts';
import { METHODS } from './methods.ts';
import { endSession, listen, passProven } from './pass.ts';
import { createUnresumed } from './resume.ts';
import { openSession } from './session.ts';
import { createUpstreams, type Target, type Upstreams } from './upstream.ts';

export interface McpOptions extends CredentialOptions {
  /** Addresses of authorization servers, told to clients that have no token yet (RFC 9728). */
  readonly authorizationServers: readonly string[];
}

interface Params {
  readonly Params: { readonly upstream: string };
}
type McpRequest = FastifyRequest<Params>;

/** What all requests have in common. */
type Shared = Pick<Exchange, 'parts' | 'unresumed' | 'stopping'>;

/** What is known of a request before its upstream is. */
type Unplaced = Omit<Exchange, 'target' | 'session'>;

const PATH = '/mcp/:upstream';
const METADATA = '/.well-known/oauth-protected-resource/mcp/';

/** The routes of all upstreams. */
export function mcpRoutes(options: McpOptions): Routes {
  return (app, parts) => {
    const upstreams = createUpstreams(parts.view, createCredentials(options));
    const unresumed = createUnresumed();
    const stopping = new AbortController();
    // Before the server waits for its last requests, for streams that only listen never end.
    app.addHook('preClose', async () => stopping.abort());
    app.addHook('onClose', async () => {
      await unresumed.close();
      await upstreams.close();
    });
    const shared = { parts, unresumed, stopping: stopping.signal };
    const route = (
      method: 'POST' | 'GET' | 'DELETE',
      handle: (exchange: Exchange) => Promise<void>,
    ): void => {
      app.route<Params>({
        method,
        url: PATH,
        exposeHeadRoute: false,
        errorHandler: refuseAsRpc(parts),
        handler: async (request, reply) => {
          checkHost(request, parts.publicUrl());
          const exchange = await placed(
            upstreams,
            unplaced(shared, request, reply),
            request.params,
          );
          await handle(exchange).catch(breakOff(parts, reply));
          return reply;
        },
      });
    };
    route('POST', dispatch);
    route('GET', listen);
    route('DELETE', endSession);
    metadataRoute(app, parts, options);
    heldPageRoute(app, parts);
    compatRoute(app, { ...shared, upstreams });
  };
}

/** An answer that has begun cannot become an error any more: its connection is cut. */
const breakOff =
  ({ log }: Parts, reply: FastifyReply) =>
  (error: unknown): void => {
    if (!reply.sent) throw error;
    log.error({ err: error, url: PATH }, 'an answer broke off');
    reply.raw.destroy();
  };

/** @throws Refused, Fault */
function unplaced(shared: Shared, request: McpRequest, reply: FastifyReply): Unplaced {
  const caller = shared.parts.admit(request);
  const message = request.method === 'POST' ? readMessage(bodyOf(request)) : NO_MESSAGE;
  const { headers } = request;
  const era = eraOf(message, String(headers['mcp-protocol-version'] ?? ''));
  compareHeaders(message, headers, era);
  return { ...shared, request, reply, caller, message, era };
}

/** Finds the upstream and the session. Who has no identity that holds learns of neither. @throws Fault */
async function placed(
  upstreams: Upstreams,
  exchange: Unplaced,
  { upstream }: Params['Params'],
): Promise<Exchange> {
  const { parts, caller, request, era } = exchange;
  const id = request.headers['mcp-session-id'];
  const session = typeof id === 'string' ? openSession(parts.seal, upstream, id) : undefined;
  const target = upstreams.find(caller.tenant, upstream);
  const wrongSession = era === '2025-11-25' && id !== undefined && session === undefined;
  if (target === undefined || wrongSession) {
    await proveCaller({ ...exchange, target: NO_TARGET, session: undefined });
    throw faultOf(target === undefined ? 'request.not_found' : 'request.unknown_session', {
      id: idIn(exchange),
    });
  }
  return { ...exchange, target, session: era === '2025-11-25' ? session : undefined };
}

const NO_MESSAGE: Message = { kind: 'response', body: {} };
const NO_TARGET: Target = {
  name: '',
  timeoutMs: 0,
  receipts: false,
  send: () => Promise.reject(new Error('nothing is sent to an upstream that is not there')),
};

/** @throws Fault */
async function dispatch(exchange: Exchange): Promise<void> {
  const { message } = exchange;
  if (message.kind === 'response') return passProven(exchange);
  const { method } = message;
  if (message.kind === 'notification') {
    if (!method.startsWith('notifications/')) throw unknownMethod(exchange);
    return passProven(exchange);
  }
  const handle = METHODS[exchange.era].get(method);
  if (handle !== undefined) return handle(exchange, message);
  await proveCaller(exchange);
  throw unknownMethod(exchange);
}

const unknownMethod = (exchange: Exchange): Fault =>
  new Fault(RPC.methodNotFound, 'This method is not passed on.', {
    id: idIn(exchange),
    ...(exchange.era === '2025-11-25' ? { status: 200 } : {}),
  });

/** Every error of these routes in the form of JSON-RPC; a missing or false identity names where to get one. */
function refuseAsRpc({ log, publicUrl }: Parts) {
  return (error: Error, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    if (error instanceof Fault) return challenged(error, request, reply, publicUrl());
    if (error instanceof Refused) {
      const fault = faultOf(error.code, { detail: error.message, id: idOfBody(request) });
      return challenged(fault, request, reply, publicUrl());
    }
    const status = 'statusCode' in error ? Number(error.statusCode) : 500;
    const code = STATUS_REASONS.get(status) ?? 'service.failed';
    if (code === 'service.failed') log.error({ err: error, url: PATH }, 'request failed');
    return sendFault(reply, faultOf(code));
  };
}

/** The id to answer with, as far as the body can be read. */
function idOfBody({ body }: FastifyRequest): RequestId | null {
  try {
    return Buffer.isBuffer(body) ? idOf(parseStrict(body)) : null;
  } catch {
    return null;
  }
}

const STATUS_REASONS: ReadonlyMap<number, Reason> = new Map([
  [413, 'request.too_large'],
  [415, 'request.content_type'],
]);

function challenged(
  fault: Fault,
  request: FastifyRequest,
  reply: FastifyReply,
  publicUrl: string,
): FastifyReply {
  if (fault.status === 401) {
    const { upstream } = request.params as Params['Params']; // both routes have it in their path
    const metadata = `resource_metadata="${publicUrl}${METADATA}${encodeURIComponent(upstream)}"`;
    void reply.header(
      'www-authenticate',
      `${challenge(fault.reason ?? 'identity.missing')}, ${metadata}`,
    );
  }
  if (fault.status === 429 || fault.status === 503) void reply.header('retry-after', '1');
  return sendFault(reply, fault);
}

/** Metadata of a protected resource (RFC 9728). The same for every name: upstreams are no secret to be told here. */
function metadataRoute(app: FastifyInstance, parts: Parts, options: McpOptions): void {
  app.get<Params>(`${METADATA}:upstream`, async (request, reply) => {
    const { upstream } = request.params;
    const servers = options.authorizationServers;
    const document = {
      resource: `${parts.publicUrl()}/mcp/${encodeURIComponent(upstream)}`,
      ...(servers.length === 0 ? {} : { authorization_servers: servers }),
      bearer_methods_supported: ['header'],
      dpop_signing_alg_values_supported: IDENTITY_ALGORITHMS,
      tls_client_certificate_bound_access_tokens: true,
    };
    return sendJson(reply, JSON.stringify(document));
  });
}
