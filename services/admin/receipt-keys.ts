/**
 * The public keys of receipts, for tool servers and auditors: public, and only keys whose entry bears the MAC of a
 * worker, so that no other process, not even the ingress, can add one here.
 */
import type { FastifyInstance } from 'fastify';

import { CONTROL_KEYS } from '#contracts/control.ts';
import type { MacKeys } from '#contracts/mac.ts';
import { RECEIPT_KEYS_PATH, receiptJwks } from '#contracts/receipt-key.ts';
import type { ControlView } from '#host/control-view.ts';

export function receiptKeyRoutes(
  app: FastifyInstance,
  { view, macKeys }: { readonly view: ControlView; readonly macKeys: MacKeys },
): void {
  const prefix = CONTROL_KEYS.signer('');
  app.get(RECEIPT_KEYS_PATH, async () => {
    const entries = view
      .keys(prefix)
      .map((key) => [key.slice(prefix.length), view.get(key)?.value] as const);
    return receiptJwks(entries, Date.now(), macKeys);
  });
}
