/** What every page has around it: head, name, who is signed in, the way out. */
import type { FastifyReply } from 'fastify';

import type { Role } from '#contracts/control.ts';
import { html, type Html, NOTHING } from '#host/html.ts';

/** Who looks at a page. */
export interface Viewer {
  readonly id: string;
  readonly name: string;
  readonly roles: readonly Role[];
  /** Goes into each form (sign-in/seal.ts). */
  readonly formToken: string;
  /** Milliseconds UTC of the last second factor. */
  readonly steppedUpAt: number;
}

export interface Layout {
  readonly title: string;
  readonly body: Html;
  readonly viewer?: Viewer | undefined;
  /** Seconds after which a browser asks again by itself. */
  readonly againS?: number;
}

function pageText({ title, body, viewer, againS }: Layout): string {
  const again =
    againS === undefined ? NOTHING : html`<meta http-equiv="refresh" content="${againS}" />`;
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="robots" content="noindex" />
        ${again}
        <title>${title} · Countersign</title>
        <link rel="icon" href="/page.svg" type="image/svg+xml" />
        <link rel="stylesheet" href="/page.css" />
        <script src="/page.js" defer></script>
      </head>
      <body>
        <a class="skip" href="#content">Skip to the content</a>
        <header class="bar">
          <a class="name" href="/approvals">Countersign</a>${signedIn(viewer)}
        </header>
        <main id="content">${body}</main>
      </body>
    </html> `.text;
}

export const send = (reply: FastifyReply, layout: Layout): FastifyReply =>
  reply.type('text/html; charset=utf-8').send(pageText(layout));

function signedIn(viewer: Viewer | undefined): Html {
  if (viewer === undefined) return NOTHING;
  return html`<span class="soft small">${viewer.name}</span>
    <form method="post" action="/sign-out">
      ${formToken(viewer)}<button class="plain">Sign out</button>
    </form>`;
}

export const formToken = (viewer: Viewer): Html =>
  html`<input type="hidden" name="form" value="${viewer.formToken}" />`;
