/** The part of the admin API that orders what becomes of payloads. Needs Postgres for what it shows, not for orders. */
import { type Static, Type } from 'typebox';

import { Changed } from './admin-bodies.ts';
import { get, type Operation, post, TENANT } from './operation.ts';
import { PayloadOrderRequest } from './payload-order.ts';

/** One order as the chain has it. Conditions that are null do not count. Times: milliseconds UTC. */
export const KeptPayloadOrder = Type.Object({
  id: Type.String(),
  action: Type.Union([Type.Literal('erase'), Type.Literal('hold'), Type.Literal('retain')]),
  at: Type.Integer(),
  by: Type.String(),
  decision_id: Type.Union([Type.String(), Type.Null()]),
  agent: Type.Union([Type.String(), Type.Null()]),
  person: Type.Union([Type.String(), Type.Null()]),
  from_at: Type.Union([Type.Integer(), Type.Null()]),
  until_at: Type.Union([Type.Integer(), Type.Null()]),
  days: Type.Union([Type.Integer(), Type.Null()]),
  ended: Type.Boolean({
    description: 'Erased all that fits; or the hold is lifted; or another retention counts.',
  }),
  erased: Type.Integer({ description: 'Payloads that it has erased so far.' }),
});
export type KeptPayloadOrder = Static<typeof KeptPayloadOrder>;

/** What an erasure would meet. */
export const PayloadCount = Type.Object({
  payloads: Type.Integer({ description: 'Payloads that fit.' }),
  held: Type.Integer({
    description: 'Of these, under a legal hold: they stay until it is lifted.',
  }),
});
export type PayloadCount = Static<typeof PayloadCount>;

export const PAYLOAD_OPERATIONS = {
  orderPayloads: {
    ...post(
      `${TENANT}/payload-orders`,
      'Erase payloads, hold them, lift a hold, or set for how many days they are kept. An event in the chain; the ' +
        'audit chainer carries it out. A hold beats erasure and retention. No leaf and no proof changes.',
      { body: PayloadOrderRequest, answer: Changed },
    ),
    role: 'admin',
  },
  listPayloadOrders: get(
    `${TENANT}/payload-orders`,
    'Orders about payloads, the newest first, at most 1,000.',
    Type.Object({ items: Type.Array(KeptPayloadOrder) }),
  ),
  countPayloads: get(
    `${TENANT}/payload-count`,
    'How many payloads fit all conditions, and how many of them are held. `from` and `until` are milliseconds UTC.',
    PayloadCount,
    ['decision_id', 'agent', 'person', 'from', 'until'],
  ),
} as const satisfies Readonly<Record<string, Operation>>;
