/** The HTTP server of the ingress and the rules that every route obeys: strict bodies, one shape of refusal. */
import type { FastifyRequest } from 'fastify';

import type { Json } from '#contracts/json.ts';
import type { Reason } from '#contracts/reasons.ts';

/** A request that is refused before anybody judged it; the server's error handler answers with the public reason. */
export class Refused extends Error {
  readonly code: Reason;
  constructor(code: Reason, detail = '') {
    super(detail);
    this.code = code;
  }
}

/** The bearer token of a request; '' when there is none. @throws Refused identity.malformed, request.header */
export declare function bearerOf(request: FastifyRequest): string;

/** The strictly parsed body. @throws Refused request.* */
export declare function bodyOf(request: FastifyRequest): Json;
