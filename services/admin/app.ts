/**
 * The HTTP server of the admin API and the rules that every route obeys: an operator by bearer token, strict JSON, one
 * shape of error. Routes come from tables of operations; `mount` adds one table with its handlers.
 */
import Fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';

import type { Operator } from '#contracts/control.ts';
import { parseTenantId, PLATFORM, type TenantId } from '#contracts/ids.ts';
import {
  type AnswerOf,
  type BodyOf,
  type Operation,
  parametersOf,
  PATH_PARAMETERS,
} from '#contracts/operation.ts';
import type { Logger } from '#host/log.ts';

import { BODY_BYTES_MAX, bodyReader } from './body.ts';
import { AdminError } from './errors.ts';
import { type Authenticate, authorize } from './operators.ts';

const REQUEST_MS_MAX = 60_000;
const REASON_CHARS_MAX = 1_000;

/** A request as handlers get it: who asks, for which tenant, and everything checked against the operation. */
export interface Asked<O extends Operation = Operation> {
  readonly operator: Operator;
  /** PLATFORM for operations on no tenant. */
  readonly tenant: TenantId;
  /** Checked parameters of the path by name. */
  readonly path: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
  readonly body: BodyOf<O>;
  /** Set instead of `body` where the operation takes archives and one was sent. */
  readonly archive: Uint8Array | undefined;
  /** The operator's free words, from header Countersign-Reason. */
  readonly reason: string;
}

/** Any operation's request: the body was checked against its schema. */
type AnyAsked = Omit<Asked, 'body'> & { readonly body: unknown };

/** One handler for each operation of a table. */
export type Handlers<Operations extends Readonly<Record<string, Operation>>> = {
  readonly [Name in keyof Operations]: (
    asked: Asked<Operations[Name]>,
  ) => Promise<AnswerOf<Operations[Name]>>;
};

/** An app without routes. */
export function createApp({
  log,
  busConnected,
}: {
  readonly log: Logger;
  readonly busConnected: () => boolean;
}): FastifyInstance {
  const app = Fastify({
    logger: false,
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: REQUEST_MS_MAX,
    routerOptions: { maxParamLength: 1_024 },
    return503OnClosing: true,
    // A path that does not decode is one that is not there.
    frameworkErrors: (_, __, reply: FastifyReply) => {
      const refused = new AdminError('request.not_found');
      void reply.code(refused.status).send(refused.body());
    },
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_, body, done) => done(null, body));
  app.addHook('onSend', async (_, reply) => {
    reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
  });
  app.setNotFoundHandler(() => {
    throw new AdminError('request.not_found');
  });
  app.setErrorHandler((error: FastifyError | AdminError, request, reply) => {
    const refused = refusalOf(error, busConnected());
    if (refused.status >= 500) log.error({ err: error, route: request.routeOptions.url }, 'failed');
    if (refused.status === 401) reply.header('www-authenticate', 'Bearer realm="countersign"');
    if (refused.status === 429) reply.header('retry-after', String(refused.retryAfterS));
    return reply.code(refused.status).send(refused.body());
  });
  return app;
}

/** What an error of a handler, of Fastify or of a bug says to the operator. */
export function refusalOf(error: FastifyError | AdminError, busConnected: boolean): AdminError {
  if (error instanceof AdminError) return error;
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new AdminError('request.too_large');
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return new AdminError('request.content_type');
  if (error.code === 'FST_ERR_BAD_URL') return new AdminError('request.not_found');
  if ((error.statusCode ?? 500) < 500) return new AdminError('request.schema');
  return new AdminError(busConnected ? 'service.failed' : 'service.unavailable');
}

/** Adds the routes of a table. Methods that a path does not have answer 405. */
export function mount<Operations extends Readonly<Record<string, Operation>>>(
  app: FastifyInstance,
  {
    operations,
    handlers,
    authenticate,
  }: {
    readonly operations: Operations;
    readonly handlers: Handlers<Operations>;
    readonly authenticate: Authenticate;
  },
): void {
  const methods = new Map<string, string[]>();
  for (const [name, operation] of Object.entries<Operation>(operations)) {
    const url = routeOf(operation.path);
    methods.set(url, [...(methods.get(url) ?? []), operation.method]);
    // The table's type ties each handler to its operation; here only the common form matters.
    const handle = handlers[name] as unknown as (asked: AnyAsked) => Promise<object>;
    addRoute(app, { operation, url, handle, authenticate });
  }
  for (const [url, present] of methods) {
    // A route for GET answers HEAD, too.
    const known = present.includes('GET') ? [...present, 'HEAD'] : present;
    app.route({
      method: app.supportedMethods.filter((method) => !known.includes(method)),
      url,
      // Before a body is read: some methods are refused without one.
      onRequest: (_, reply, done) => {
        reply.header('allow', known.join(', '));
        done(new AdminError('request.method'));
      },
      handler: () => undefined,
    });
  }
}

function addRoute(
  app: FastifyInstance,
  {
    operation,
    url,
    handle,
    authenticate,
  }: {
    readonly operation: Operation;
    readonly url: string;
    readonly handle: (asked: AnyAsked) => Promise<object>;
    readonly authenticate: Authenticate;
  },
): void {
  const readPath = pathReader(operation);
  const readBody = bodyReader(operation);
  const operators = new WeakMap<FastifyRequest, Operator>();
  app.route({
    method: operation.method,
    url,
    // Before the body is read: who may not ask does not get to send much.
    onRequest: async (request) => {
      const operator = authenticate(request.headers.authorization, request.ip);
      const tenant = parametersOf(operation.path).includes('tenant')
        ? tenantOf(request)
        : undefined;
      const { role, platformRole } = operation;
      authorize(operator, { role, platformRole, tenant });
      operators.set(request, operator);
    },
    handler: async (request, reply) => {
      const operator = operators.get(request);
      if (operator === undefined) throw new AdminError('operator.missing');
      const answer = await handle({
        operator,
        tenant: tenantOf(request),
        path: readPath(request),
        query: readQuery(operation, request),
        reason: readReason(request),
        ...readBody(request),
      });
      return reply.code(operation.status).send(answer);
    },
  });
}

/** OpenAPI's form of a path as Fastify's. */
const routeOf = (path: string): string =>
  path.replace(/\{key\}$/, '*').replaceAll(/\{(\w+)\}/g, ':$1');

/** untrusted: the tenant in a path. */
function tenantOf(request: FastifyRequest): TenantId {
  const { tenant } = request.params as Readonly<Record<string, string | undefined>>;
  if (tenant === undefined || tenant === PLATFORM) return PLATFORM;
  const known = parseTenantId(tenant);
  if (known === undefined) throw new AdminError('tenant.name');
  return known;
}

type PathParameter = keyof typeof PATH_PARAMETERS;

/** Reads the parameters of a path. `key` is the rest of it as it was sent, still percent-encoded. */
function pathReader({ path }: Operation): (request: FastifyRequest) => Record<string, string> {
  const checks = parametersOf(path)
    .filter((name): name is PathParameter => Object.hasOwn(PATH_PARAMETERS, name))
    .map((name) => [name, Compile<TSchema>(PATH_PARAMETERS[name])] as const);
  const rest = path.endsWith('{key}') ? path.split('/').length - 1 : undefined;
  return (request) => {
    const given = request.params as Readonly<Record<string, string | undefined>>;
    const read: Record<string, string> = {};
    for (const [name, check] of checks) {
      const value = given[name] ?? '';
      if (!check.Check(value))
        throw new AdminError('request.not_found', `No ${name} is written like this.`);
      read[name] = value;
    }
    if (rest !== undefined) {
      read['key'] = (request.url.split('?')[0] ?? '').split('/').slice(rest).join('/');
    }
    return read;
  };
}

/** untrusted: only documented parameters, each once. */
function readQuery({ query }: Operation, request: FastifyRequest): Record<string, string> {
  const given = request.query as Readonly<Record<string, unknown>>;
  const read: Record<string, string> = {};
  for (const [name, value] of Object.entries(given)) {
    if (!query.includes(name) || typeof value !== 'string') {
      throw new AdminError(
        'request.schema',
        `The query parameter "${name}" is not known or not single.`,
      );
    }
    read[name] = value;
  }
  return read;
}

function readReason(request: FastifyRequest): string {
  const reason = request.headers['countersign-reason'];
  if (reason === undefined) return '';
  if (typeof reason !== 'string' || reason.length > REASON_CHARS_MAX || !reason.isWellFormed()) {
    throw new AdminError('request.schema', 'The header Countersign-Reason is too long.');
  }
  return reason;
}
