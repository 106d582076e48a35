/** GET /held/{id}: the page that a client opens for the person at it. It shows a state and decides nothing. */
import type { FastifyInstance } from 'fastify';

import { type HeldAs, toldAs } from '#contracts/approval.ts';

import { waitsUntil } from '../held-handle.ts';
import { refuse } from '../http.ts';
import type { Parts } from '../routes.ts';
import type { Sealed } from '../seal.ts';

/** Neither scripts nor frames nor forms: what is shown is ours alone, and nothing of it can act. */
const HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy':
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const;

const TITLES: Readonly<Record<HeldAs, string>> = {
  pending: 'Waiting for approval',
  approved: 'Approved',
  used: 'Approved and released',
  denied: 'Declined',
  edited: 'Changed',
  expired: 'Expired',
  cancelled: 'Withdrawn',
  superseded: 'The rules changed',
  no_channel: 'Nobody can approve it',
};

/** For the person at the client: whoever approves is told elsewhere. */
const WORDS: Readonly<Record<HeldAs, string>> = {
  pending:
    'An agent asked to run a tool, and a person has to approve that. It has not run. You need not do anything here: whoever may approve was told. This page can be closed.',
  approved: 'A person approved the call. It runs once, as soon as the agent comes back for it.',
  used: 'A person approved the call, and it was released. It is not released again.',
  denied: 'A person declined the call. It did not run.',
  edited:
    'A person changed the arguments. The call did not run as it was; the agent can send the changed one.',
  expired:
    'Its time is over: nobody answered, or it was not sent again in time, which is not a no. The call did not run; the agent can ask again.',
  cancelled: 'The request was withdrawn or stopped. The call did not run.',
  superseded: 'The rules changed while the call waited. It did not run; the agent can ask again.',
  no_channel: 'Nobody who may approve it is there, or could be reached. The call did not run.',
};

export function heldPageRoute(app: FastifyInstance, { seal, held }: Parts): void {
  // By a wildcard: an id is longer than what a named part of a path may be.
  app.get<{ Params: { '*': string } }>('/held/*', async (request, reply) => {
    const sealed = seal.open('task', request.params['*']);
    if (sealed === undefined || Date.now() > sealed.expiresAt)
      return refuse(reply, 'request.not_found');
    const entry = sealed.held && (await held.entry(sealed.held));
    const state = entry === undefined ? 'pending' : toldAs(entry, Date.now());
    return reply.headers(HEADERS).send(pageText(sealed, state));
  });
}

function pageText(sealed: Sealed, state: HeldAs): string {
  const open = state === 'pending' || state === 'approved';
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
${open ? '<meta http-equiv="refresh" content="5">\n' : ''}<title>${TITLES[state]}</title>
<h1>${TITLES[state]}</h1>
<p>${WORDS[state]}</p>
<dl>
<dt>Decision</dt><dd>${sealed.id}</dd>
<dt>Waits until</dt><dd>${new Date(waitsUntil(sealed)).toISOString()}</dd>
</dl>
</html>
`;
}
