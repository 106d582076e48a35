/** The tools of the demo shop: what an agent sees, what is registered in the catalogue, and what they do. */
import { canonical, type Json } from '#contracts/json.ts';

export interface ShopTool {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly class: string;
  readonly inputSchema: {
    readonly type: 'object';
    readonly properties: Readonly<Record<string, Json>>;
    readonly required: readonly string[];
    readonly additionalProperties: false;
  };
}

const text = (description: string): Json => ({
  type: 'string',
  minLength: 1,
  maxLength: 4_000,
  description,
});
const tool = (
  name: string,
  words: { title: string; description: string; class: string },
  properties: Record<string, Json>,
): ShopTool => ({
  name,
  ...words,
  inputSchema: {
    type: 'object',
    properties,
    required: Object.keys(properties),
    additionalProperties: false,
  },
});

export const SHOP_TOOLS: readonly ShopTool[] = [
  tool(
    'lookup_order',
    { title: 'Look up an order', description: 'Shows an order of the shop.', class: 'read' },
    {
      order_id: text('For example ord_1001.'),
    },
  ),
  tool(
    'refund_order',
    {
      title: 'Refund an order',
      description: 'Pays money back to the customer of an order.',
      class: 'pay',
    },
    {
      order_id: text('For example ord_1001.'),
      amount: { type: 'number', exclusiveMinimum: 0, description: 'In euros.' },
    },
  ),
  tool(
    'send_email',
    {
      title: 'Send an e-mail',
      description: 'Sends an e-mail in the name of the shop.',
      class: 'send',
    },
    {
      to: text('Address.'),
      subject: text('Subject line.'),
      body: text('Plain text.'),
    },
  ),
  tool(
    'run_sql',
    {
      title: 'Run SQL',
      description: 'Runs one SQL statement on a database of the shop.',
      class: 'execute',
    },
    {
      database: { type: 'string', enum: ['production', 'staging'], description: 'Which database.' },
      query: text('One statement.'),
    },
  ),
];

interface Order {
  readonly customer: string;
  readonly total: number;
  refunded: number;
  readonly items: readonly string[];
}

/** Orders that the shop opens with; the demo seeds the same as facts for the policy. */
export const SHOP_ORDERS: Readonly<Record<string, Order>> = {
  ord_1001: { customer: 'carol@example.com', total: 89.9, refunded: 0, items: ['rain jacket'] },
  ord_1002: {
    customer: 'dave@example.com',
    total: 1_249,
    refunded: 0,
    items: ['road bike', 'helmet'],
  },
  ord_1003: { customer: 'erin@example.com', total: 15.5, refunded: 0, items: ['water bottle'] },
};

/** The shop's state for one run of the process. */
export function openShop(): { readonly run: (tool: string, args: Record<string, Json>) => Json } {
  const orders = new Map(Object.entries(SHOP_ORDERS).map(([id, order]) => [id, { ...order }]));
  const orderOf = (args: Record<string, Json>) => {
    const id = args['order_id'];
    const order = typeof id === 'string' ? orders.get(id) : undefined;
    if (order === undefined) throw new ShopError('there is no such order');
    return order;
  };
  const does: Record<string, (args: Record<string, Json>) => Json> = {
    lookup_order: (args) => ({
      order_id: args['order_id'] ?? '',
      ...orderOf(args),
      items: [...orderOf(args).items],
    }),
    refund_order: (args) => {
      const order = orderOf(args);
      const amount = Number(args['amount']);
      if (order.refunded + amount > order.total)
        throw new ShopError('more than the order is worth');
      order.refunded += amount;
      return {
        order_id: args['order_id'] ?? '',
        refunded: amount,
        refunded_in_all: order.refunded,
      };
    },
    send_email: (args) => ({
      sent_to: args['to'] ?? '',
      message_id: `m-${canonical(args).length}`,
    }),
    run_sql: (args) => ({
      database: args['database'] ?? '',
      rows: [],
      query: args['query'] ?? '',
    }),
  };
  return {
    run: (name, args) => {
      const work = does[name];
      if (work === undefined) throw new ShopError(`there is no tool ${name}`);
      return work(args);
    },
  };
}

/** The shop cannot do what was asked; the message is for the agent. */
export class ShopError extends Error {}
