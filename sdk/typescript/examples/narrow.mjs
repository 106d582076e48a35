// Gives a sub-agent less than we have: one tool, three calls, five minutes. No server is asked for that.
import { readFileSync } from 'node:fs';

import { attenuate, Blocked, Client, Expired, inspect } from '@countersign/sdk';

const file = (name, otherwise) => readFileSync(process.env[name] ?? otherwise, 'utf8').trim();
const identity = file('COUNTERSIGN_IDENTITY_FILE', '.countersign/secrets/demo-identity.jwt');
const ours = file('COUNTERSIGN_CAPABILITY_FILE', '.countersign/secrets/demo-capability.token');

const narrow = attenuate(ours, { tools: ['lookup_order'], calls: 3, expiresIn: 300 });
const added = inspect(narrow).caveats.slice(inspect(ours).caveats.length);
console.log(`added: ${added.map(({ t }) => t).join(', ')}`);

const child = new Client(process.env.COUNTERSIGN_URL, { identity, capability: narrow });
const { verdict } = await child.call('lookup_order', { order_id: 'ord_1001' });
console.log(`lookup_order: ${verdict}`);

await child.call('refund_order', { order_id: 'ord_1002', amount: 20 }).catch((error) => {
  if (!(error instanceof Blocked)) throw error;
  console.log(`refund_order: ${error.code}`);
});

const capability = attenuate(narrow, { expires: Math.floor(Date.now() / 1000) - 1 });
const late = new Client(process.env.COUNTERSIGN_URL, { identity, capability });
await late.call('lookup_order', { order_id: 'ord_1001' }).catch((error) => {
  if (!(error instanceof Expired)) throw error;
  console.log(`too late: ${error.code}`);
});
