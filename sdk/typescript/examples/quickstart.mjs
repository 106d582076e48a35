// An agent's three calls: one runs, one is blocked, one waits for a person.
// Needs COUNTERSIGN_URL; the identity and capability files are those of the demo unless named.
import { readFileSync } from 'node:fs';

import { Blocked, Client, Expired, Held, Unavailable } from '@countersign/sdk';

const file = (name, otherwise) => readFileSync(process.env[name] ?? otherwise, 'utf8');
const client = new Client(process.env.COUNTERSIGN_URL, {
  identity: file('COUNTERSIGN_IDENTITY_FILE', '.countersign/secrets/demo-identity.jwt'),
  capability: file('COUNTERSIGN_CAPABILITY_FILE', '.countersign/secrets/demo-capability.token'),
});

/** Your tools. */
const tools = { lookup_order: ({ order_id }) => ({ order_id, status: 'shipped' }) };

async function run(tool, args) {
  const decision = await client.call(tool, args, { purpose: 'answer a customer' });
  let result;
  try {
    result = tools[tool](args);
  } catch (error) {
    await client.report(decision, 'failed', { error: String(error) });
    throw error;
  }
  await client.report(decision, 'executed', { result });
  return JSON.stringify(result);
}

for (const [tool, args] of [
  ['lookup_order', { order_id: 'ord_1001' }],
  ['run_sql', { database: 'production', query: 'DROP TABLE orders' }],
  ['refund_order', { order_id: 'ord_1002', amount: 450 }],
]) {
  try {
    console.log(`${tool} ran: ${await run(tool, args)}`);
  } catch (error) {
    if (error instanceof Held) console.log(`${tool} is held: ${error.code}`);
    else if (error instanceof Blocked) console.log(`${tool} is blocked: ${error.code}`);
    else if (error instanceof Expired) console.log(`${tool} needs a new token: ${error.code}`);
    else if (error instanceof Unavailable) console.log(`${tool} may be asked later: ${error.code}`);
    else throw error;
  }
}
