/** The routes of orders about payloads. An order is recorded without the database; the chainer carries it out. */
import { Compile } from 'typebox/compile';

import { PAYLOAD_OPERATIONS } from '#contracts/payload-api.ts';
import {
  type PayloadOrder,
  type PayloadOrderRequest,
  PayloadSelection,
} from '#contracts/payload-order.ts';

import { type Handlers, mount } from './app.ts';
import { readNumber } from './audit-query.ts';
import { changeBy, type RecordChange } from './change.ts';
import { AdminError } from './errors.ts';
import type { PayloadReads } from './payload-reads.ts';
import type { Routes } from './routes.ts';

/** @param reads undefined where no database is configured */
export const payloadRoutes =
  (reads: PayloadReads | undefined): Routes =>
  (app, { deps, authenticate }) => {
    const handlers = payloadHandlers(reads, deps.record);
    mount(app, { operations: PAYLOAD_OPERATIONS, handlers, authenticate });
  };

const selectionShape = Compile(PayloadSelection);

function payloadHandlers(
  reads: PayloadReads | undefined,
  record: RecordChange,
): Handlers<typeof PAYLOAD_OPERATIONS> {
  const reading = async <T>(read: (reads: PayloadReads) => Promise<T>): Promise<T> => {
    if (reads === undefined)
      throw new AdminError('audit.unavailable', 'No database is configured.');
    return read(reads).catch((cause: unknown) => {
      throw new AdminError('audit.unavailable', '', { cause });
    });
  };
  return {
    orderPayloads: async (asked) => {
      const { reason, order } = splitRequest(asked.body);
      // What is selected stands in the payload: a pseudonym or an id in the leaf could never be erased.
      const target = order.action === 'release' ? order.hold : '';
      return changeBy(record)(
        { ...asked, reason },
        { kind: 'payloads', action: order.action, target, value: order },
      );
    },
    listPayloadOrders: async ({ tenant }) => ({
      items: await reading((at) => at.orders(tenant)),
    }),
    countPayloads: async ({ tenant, query }) => {
      const { from, until, ...rest } = query;
      const moment = (text: string | undefined, name: string) =>
        text === undefined
          ? {}
          : { [name]: readNumber(text, { otherwise: 0, max: Number.MAX_SAFE_INTEGER }) };
      const selection = { ...rest, ...moment(from, 'from'), ...moment(until, 'until') };
      if (!selectionShape.Check(selection))
        throw new AdminError('request.schema', 'Name at least one condition that can be read.');
      return reading((at) => at.count(tenant, selection));
    },
  };
}

function splitRequest({ reason, ...order }: PayloadOrderRequest): {
  readonly reason: string;
  readonly order: PayloadOrder;
} {
  return { reason, order };
}
