/** Addresses that operators register. */
import { AdminError } from './errors.ts';

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/**
 * Refuses what is no plain http(s) address. @param rule anywhere: http or https. secure: https, or http to loopback,
 * for what must not be changed on its way. @throws AdminError url.refused
 */
export function checkUrl(text: string, rule: 'anywhere' | 'secure', path: string): void {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const fine =
    url !== undefined &&
    (url.protocol === 'https:' ||
      (url.protocol === 'http:' && (rule === 'anywhere' || LOOPBACK.test(url.hostname)))) &&
    url.username === '' &&
    url.password === '' &&
    url.hash === '';
  if (!fine) throw new AdminError('url.refused', '', { path });
}
