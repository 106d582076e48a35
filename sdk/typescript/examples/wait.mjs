// A call that a person has to approve: held first, and run once they said yes. Approve it meanwhile, as somebody else:
// ./countersign approvals approve APPROVAL_ID --as grace
import { readFileSync } from 'node:fs';

import { Blocked, Client, Held } from '@countersign/sdk';

const file = (name, otherwise) => readFileSync(process.env[name] ?? otherwise, 'utf8');
const client = new Client(process.env.COUNTERSIGN_URL, {
  identity: file('COUNTERSIGN_IDENTITY_FILE', '.countersign/secrets/demo-identity.jwt'),
  capability: file('COUNTERSIGN_CAPABILITY_FILE', '.countersign/secrets/demo-capability.token'),
});

try {
  const amount = Number(process.argv[2] ?? 430);
  const decision = await client
    .call('refund_order', { order_id: 'ord_1002', amount })
    .catch((error) => {
      if (!(error instanceof Held)) throw error;
      console.log(`held: ${error.approvalId}`);
      return client.wait(error, { timeoutMs: 600_000 });
    });
  console.log(`refund_order: ${decision.verdict}`);
} catch (error) {
  if (!(error instanceof Blocked)) throw error;
  console.log(`refund_order: ${error.code}`);
}
