/** What the routes of this process share, and the form in which each file of routes is plugged in (main.ts lists them). */
import type { FastifyInstance } from 'fastify';

import { ADMIN_OPERATIONS } from '#contracts/admin-api.ts';
import { adminOpenApi } from '#contracts/admin-openapi.ts';

import { mount } from './app.ts';
import { capabilityHandlers } from './capabilities.ts';
import { compatHandlers } from './compat.ts';
import type { AdminHandlers, Deps } from './deps.ts';
import { factSourceHandlers } from './fact-sources.ts';
import { factHandlers } from './facts.ts';
import { issuerHandlers } from './issuers.ts';
import type { Authenticate } from './operators.ts';
import { personHandlers } from './persons.ts';
import { policyHandlers } from './policies.ts';
import { agentHandlers, upstreamHandlers } from './registrations.ts';
import { revocationHandlers } from './revocations.ts';
import { signInHandlers } from './sign-in/handlers.ts';
import { switchHandlers } from './switches.ts';
import { tenantHandlers } from './tenants.ts';
import { toolHandlers } from './tools.ts';

/** One file of routes: mounts a table of operations with its handlers. Registered before the server listens. */
export type Routes = (
  app: FastifyInstance,
  parts: { readonly deps: Deps; readonly authenticate: Authenticate },
) => void;

/** Everything that changes or shows what is registered. Works without any database. */
export const adminRoutes: Routes = (app, { deps, authenticate }) => {
  const handlers: AdminHandlers = {
    ...tenantHandlers(deps),
    ...issuerHandlers(deps),
    ...agentHandlers(deps),
    ...upstreamHandlers(deps),
    ...toolHandlers(deps),
    ...capabilityHandlers(deps),
    ...compatHandlers(deps),
    ...revocationHandlers(deps),
    ...switchHandlers(deps),
    ...policyHandlers(deps),
    ...factHandlers(deps),
    ...factSourceHandlers(deps),
    ...personHandlers(deps),
    ...signInHandlers(deps),
  };
  mount(app, { operations: ADMIN_OPERATIONS, handlers, authenticate });
  const document = adminOpenApi();
  app.get('/openapi.json', (_, reply) => reply.type('application/json').send(document));
};
