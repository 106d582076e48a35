/** GET /held/{id}: the page that a client opens for the person at it. It shows a state and decides nothing. */
import type { FastifyInstance } from 'fastify';

import { refuse } from '../http.ts';
import type { Parts } from '../routes.ts';

/** Neither scripts nor frames nor forms: what is shown is ours alone, and nothing of it can act. */
const HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy':
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const;

export function heldPageRoute(app: FastifyInstance, { seal }: Parts): void {
  // By a wildcard: an id is longer than what a named part of a path may be.
  app.get<{ Params: { '*': string } }>('/held/*', async (request, reply) => {
    const held = seal.open('task', request.params['*']);
    if (held === undefined || Date.now() > held.expiresAt)
      return refuse(reply, 'request.not_found');
    const until = new Date(held.expiresAt).toISOString();
    return reply.headers(HEADERS).send(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="10">
<title>Waiting for approval</title>
<h1>Waiting for approval</h1>
<p>An agent asked to run a tool, and a person has to approve that. It has not run.</p>
<p>You need not do anything here: whoever may approve was told. This page can be closed.</p>
<dl>
<dt>Decision</dt><dd>${held.id}</dd>
<dt>Waits until</dt><dd>${until}</dd>
</dl>
</html>
`);
  });
}
