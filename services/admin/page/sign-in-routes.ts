/** Routes by which a person signs in and out. */
import type { FastifyInstance } from 'fastify';

import { AdminError } from '../errors.ts';
import { type Layout, send } from './layout.ts';
import { cookieOf, formOf, nextOf, setCookie } from './requests.ts';
import { one, type PageParts, seated } from './seat.ts';
import { signInView } from './sign-in-view.ts';

const FIELD_CHARS_MAX = 512;

export function signInRoutes(pages: FastifyInstance, parts: PageParts): void {
  const { desk, place } = parts;
  pages.get<{ Querystring: { next?: unknown } }>('/sign-in', async (request, reply) => {
    const next = nextOf(one(request.query.next));
    if ((await desk.seatOf(cookieOf(request, place))) !== undefined)
      return reply.redirect(next, 303);
    return send(reply, signInPage({ next, fault: '', plain: !place.secure }));
  });
  pages.post('/sign-in', async (request, reply) => {
    const form = formOf(request, place);
    const text = (name: string): string => (form.get(name) ?? '').slice(0, FIELD_CHARS_MAX);
    const next = nextOf(form.get('next') ?? '');
    try {
      const given = { name: text('name'), password: text('password'), code: text('code') };
      const cookie = await desk.signIn(given, request.ip);
      return await reply.header('set-cookie', setCookie(cookie, place)).redirect(next, 303);
    } catch (error) {
      if (!(error instanceof AdminError)) throw error;
      if (error.status === 429) reply.header('retry-after', String(error.retryAfterS));
      reply.code(error.status);
      return send(reply, signInPage({ next, fault: faultOf(error), plain: !place.secure }));
    }
  });
  pages.post('/sign-out', async (request, reply) => {
    const { session } = await seated(parts, request, formOf(request, place));
    await desk.signOut(session.id);
    return reply.header('set-cookie', setCookie('', place)).redirect('/sign-in', 303);
  });
}

const signInPage = (view: Parameters<typeof signInView>[0]): Layout => ({
  title: 'Sign in',
  body: signInView(view),
});

function faultOf({ code, message, retryAfterS }: AdminError): string {
  if (code === 'operator.unknown')
    return 'Name, password and code do not fit together. A code counts only once: wait for the next one.';
  return code === 'sign_in.wait'
    ? `There were too many wrong tries. Try again in ${retryAfterS} seconds.`
    : message;
}
