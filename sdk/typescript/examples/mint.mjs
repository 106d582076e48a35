// An operator mints a capability for one tool; an agent uses it at once.
import { readFileSync } from 'node:fs';

import { Admin, Client, Rejected } from '@countersign/sdk';

const file = (name, otherwise) => readFileSync(process.env[name] ?? otherwise, 'utf8');
const admin = new Admin(process.env.COUNTERSIGN_ADMIN_URL, {
  token: file('COUNTERSIGN_OPERATOR_TOKEN_FILE', '.countersign/secrets/operators/ada.token'),
  tenant: 'demo',
});

const minted = await admin.mint({ agent: 'shop-agent', tools: ['lookup_*'], expiresIn: 900 });
console.log(`minted for ${minted.agent}`);

const client = new Client(process.env.COUNTERSIGN_URL, {
  identity: file('COUNTERSIGN_IDENTITY_FILE', '.countersign/secrets/demo-identity.jwt'),
  capability: minted.capability,
});
const decision = await client.call(
  'lookup_order',
  { order_id: 'ord_1001' },
  { minRevision: minted.revision },
);
console.log(`lookup_order: ${decision.verdict}`);

await admin.mint({ agent: 'nobody' }).catch((error) => {
  if (!(error instanceof Rejected)) throw error;
  console.log(`no such agent: ${error.code}`);
});
