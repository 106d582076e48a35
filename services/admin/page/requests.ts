/** What a page's request brings: its cookie, its form, and whether a page of ours sent it. Untrusted: everything. */
import type { FastifyRequest } from 'fastify';

import { EDIT_CHARS_MAX } from '#contracts/held.ts';
import { ConfigError } from '#host/config.ts';

import { AdminError } from '../errors.ts';

/** Changed arguments, each character in up to nine bytes (%XX%XX%XX), and a little. */
const FORM_BYTES_MAX = 9 * EDIT_CHARS_MAX + 32 * 1024;

/** Where people reach the pages. */
export interface Place {
  /** Undefined = wherever the request came to: a loopback address. */
  readonly origin: string | undefined;
  readonly secure: boolean;
}

const LOOPBACK = /^(127(\.\d{1,3}){3}|\[?::1\]?|localhost)$/;

/** @param url where browsers reach us; '' = at `host`. @throws ConfigError where a cookie would go over an open network */
export function placeOfPages(url: string, host: string): Place {
  if (url === '' && LOOPBACK.test(host)) return { origin: undefined, secure: false };
  const known = URL.canParse(url) ? new URL(url) : undefined;
  const local = known?.protocol === 'http:' && LOOPBACK.test(known.hostname);
  if (known === undefined || (known.protocol !== 'https:' && !local)) {
    throw new ConfigError([
      'COUNTERSIGN_ADMIN_URL: people sign in at an https address, or at http on a loopback address',
    ]);
  }
  return { origin: known.origin, secure: known.protocol === 'https:' };
}

/** `__Host-`: only over TLS, only from this host, only for all of it. */
const cookieName = ({ secure }: Place): string => (secure ? '__Host-countersign' : 'countersign');

/** The session's cookie, '' for none. */
export function cookieOf(request: FastifyRequest, place: Place): string {
  const name = `${cookieName(place)}=`;
  const pairs = (request.headers.cookie ?? '').split(';').map((pair) => pair.trim());
  return pairs.find((pair) => pair.startsWith(name))?.slice(name.length) ?? '';
}

/** Sets the session's cookie, or takes it away with ''. Lax: a link in a chat message must find the session. */
export function setCookie(value: string, place: Place): string {
  const end = value === '' ? '; Max-Age=0' : '';
  return `${cookieName(place)}=${value}; Path=/; HttpOnly; SameSite=Lax${place.secure ? '; Secure' : ''}${end}`;
}

/** The fields of a form that a page of ours sent. @throws AdminError sign_in.form, request.* */
export function formOf(request: FastifyRequest, place: Place): URLSearchParams {
  const origin = place.origin ?? loopbackOrigin(request.headers.host ?? '');
  const from = request.headers.origin;
  const site = request.headers['sec-fetch-site'];
  // Browsers say where a form comes from; what says nothing is no browser, and has no cookie that it does not hold.
  if (from !== undefined && from !== origin) throw new AdminError('sign_in.form');
  if (site !== undefined && site !== 'same-origin') throw new AdminError('sign_in.form');
  const type = (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/x-www-form-urlencoded') throw new AdminError('request.content_type');
  const bytes = request.body instanceof Uint8Array ? request.body : new Uint8Array();
  if (bytes.length > FORM_BYTES_MAX) throw new AdminError('request.too_large');
  return new URLSearchParams(new TextDecoder().decode(bytes));
}

/** untrusted: the host that a browser believes it talks to. Only a loopback name: any other was made to lead here. */
function loopbackOrigin(host: string): string {
  const url = `http://${host}`;
  if (URL.canParse(url) && LOOPBACK.test(new URL(url).hostname)) return url;
  throw new AdminError('sign_in.form');
}

/** untrusted: where to go after signing in; only pages of ours. */
export const nextOf = (text: string): string =>
  /^\/approvals(\/[a-z0-9_-]{1,63}){0,2}$/.test(text) ? text : '/approvals';
