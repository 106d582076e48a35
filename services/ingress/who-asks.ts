/** The question that needs no tool: who is this? */
import type { FastifyRequest } from 'fastify';

import { DEADLINE_DEFAULT_MS } from '#contracts/call.ts';

import { clientOf, traceparentOf } from './http.ts';
import type { Call } from './routes.ts';

/** Identity alone: without judging or recording anything. */
export const whoAsks = (request: FastifyRequest): Call => ({
  ask: 'visible',
  via: 'http',
  capability: '',
  tool: '',
  upstream: '',
  forwards: false,
  client: clientOf(request),
  ...traceparentOf(request),
  args: '{}',
  deadlineMs: DEADLINE_DEFAULT_MS,
});
