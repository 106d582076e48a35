/**
 * The pages of people: sign in, what waits, one held call, the decision. Each decision is a POST of a signed-in session
 * that carries the session's form token, and ends in the one function of approval-escalation like that of any surface.
 */
import { readFileSync } from 'node:fs';

import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import { html, PAGE_HEADERS } from '#host/html.ts';
import { PAGE_STYLE } from '#host/page-style.ts';

import { refusalOf } from '../app.ts';
import type { AdminError } from '../errors.ts';
import { decisionRoutes } from './decision-routes.ts';
import { send } from './layout.ts';
import { lookRoutes } from './look-routes.ts';
import { nextOf, setCookie } from './requests.ts';
import type { PageParts } from './seat.ts';
import { signInRoutes } from './sign-in-routes.ts';

const beside = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8');
const ASSETS = [
  { path: '/page.css', type: 'text/css', text: PAGE_STYLE },
  { path: '/page.js', type: 'text/javascript', text: beside('page.js') },
  { path: '/page.svg', type: 'image/svg+xml', text: beside('page.svg') },
];
/** Browsers that came once by TLS do not come otherwise for half a year. */
const ONLY_TLS = 'max-age=15552000';

export function pageRoutes(app: FastifyInstance, parts: PageParts): void {
  void app.register(async (pages) => {
    pages.addHook('onSend', async (_, reply) => {
      reply.headers(PAGE_HEADERS);
      if (parts.place.secure) reply.header('strict-transport-security', ONLY_TLS);
    });
    pages.setErrorHandler((error: FastifyError | AdminError, request, reply) =>
      sendError(parts, request, { error, reply }),
    );
    pages.get('/', async (_, reply) => reply.redirect('/approvals', 303));
    for (const { path, type, text } of ASSETS) {
      pages.get(path, async (_, reply) => reply.type(`${type}; charset=utf-8`).send(text));
    }
    signInRoutes(pages, parts);
    lookRoutes(pages, parts);
    decisionRoutes(pages, parts);
  });
}

function sendError(
  { log, busConnected, place }: PageParts,
  request: FastifyRequest,
  { error, reply }: { readonly error: FastifyError | AdminError; readonly reply: FastifyReply },
): FastifyReply {
  const refused = refusalOf(error, busConnected());
  if (refused.code === 'operator.missing') {
    const next = request.method === 'GET' ? nextOf(request.url.split('?')[0] ?? '') : '/approvals';
    return reply.redirect(`/sign-in?next=${encodeURIComponent(next)}`, 303);
  }
  if (refused.status >= 500) log.error({ err: error, route: request.routeOptions.url }, 'failed');
  if (refused.status === 429) reply.header('retry-after', String(refused.retryAfterS));
  if (refused.code === 'operator.unknown') reply.header('set-cookie', setCookie('', place));
  reply.code(refused.status);
  return send(reply, {
    title: 'Not possible',
    body: html`<section class="sheet">
      <h1>${refused.message}</h1>
      <p class="soft">Nothing was decided.</p>
      <p><a href="/approvals">All requests for approval</a></p>
    </section>`,
  });
}
