/** The public keys of receipts, for tool servers that cannot reach admin. They are believed as they stand in the bucket. */
import type { FastifyInstance } from 'fastify';

import { CONTROL_KEYS } from '#contracts/control.ts';
import { RECEIPT_KEYS_PATH, receiptJwks } from '#contracts/receipt-key.ts';

import { sendJson } from './http.ts';
import type { Parts } from './routes.ts';

export function receiptKeyRoutes(app: FastifyInstance, { view }: Parts): void {
  const prefix = CONTROL_KEYS.signer('');
  app.get(RECEIPT_KEYS_PATH, async (_, reply) => {
    const entries = view
      .keys(prefix)
      .map((key) => [key.slice(prefix.length), view.get(key)?.value] as const);
    return sendJson(reply, JSON.stringify(receiptJwks(entries, Date.now())));
  });
}
