/**
 * The Host header, against web pages whose name was pointed at this address (DNS rebinding): a browser sends no Origin
 * with a GET of its own site. An address is no name, so it passes.
 */
import { isIP } from 'node:net';

import type { FastifyRequest } from 'fastify';

import { Refused } from '../http.ts';

/** @throws Refused request.origin */
export function checkHost(request: FastifyRequest, publicUrl: string): void {
  const { hostname } = new URL(publicUrl);
  const named = URL.parse(`http://${request.headers.host ?? ''}`)?.hostname ?? '';
  const address = isIP(named.replace(/^\[|\]$/g, '')) !== 0;
  if (!address && named !== 'localhost' && named !== hostname) throw new Refused('request.origin');
}
