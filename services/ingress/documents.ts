/** GET /openapi.json: the document that was generated from the schemas of these routes. */
import { readFileSync } from 'node:fs';

import type { FastifyInstance } from 'fastify';

import { sendJson } from './http.ts';

const OPENAPI = new URL('../../contracts/generated/openapi.json', import.meta.url);

export function documentRoutes(app: FastifyInstance): void {
  const openapi = readFileSync(OPENAPI, 'utf8');
  app.get('/openapi.json', async (_, reply) => sendJson(reply, openapi));
}
