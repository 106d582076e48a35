// A receipt is worth what the record of its decision says: the key it names, and every part that both have.

import { describe, expect, it } from 'vitest';

import { checkAgainst, checkReceipt } from '#cli/receipt-check.ts';

import { readVectors } from '../../support/vectors.ts';

const [[, vector] = ['', { receipt: '' }]] = readVectors<{ receipt: string }>(
  'receipts/valid',
).filter(([name]) => name === 'signed-alone');
const alone = checkReceipt(vector.receipt);
const statement = alone.statement!;
const leaf = {
  at: statement.at,
  commitments: { arguments: 'sha256:a', call: statement.call },
  id: statement.decision_id,
  policies: [
    { role: 'floor', digest: 'sha256:f' },
    { role: 'tenant', digest: statement.policy },
  ],
  receipt_key: statement.key,
  tenant: statement.tenant,
  tool: statement.tool,
  upstream: statement.upstream,
  verdict: statement.verdict,
  worker: statement.worker,
};

describe('a receipt', () => {
  it('holds against the leaf of its decision', () => {
    expect([alone.holds, checkAgainst(statement, leaf).holds]).toEqual([true, true]);
  });

  it.each<[string, object]>([
    ['decision_id', { id: 'another' }],
    ['key', { receipt_key: '' }],
    ['call', { commitments: { ...leaf.commitments, call: 'sha256:b' } }],
    ['call', { commitments: {} }],
    ['tenant', { tenant: 'acme' }],
    ['upstream', { upstream: '' }],
    ['tool', { tool: 'lookup_order' }],
    ['verdict', { verdict: 'block' }],
    ['policy', { policies: [] }],
    ['at', { at: statement.at + 1 }],
    ['worker', { worker: 'worker-2' }],
  ])('does not hold where the leaf has another %s', (finding, change) => {
    expect(checkAgainst(statement, { ...leaf, ...change })).toMatchObject({
      holds: false,
      finding: `${finding} is not that of the record`,
    });
  });

  it('that was changed is none', () => {
    expect(checkReceipt(vector.receipt.replace(/.$/, 'A'))).toMatchObject({ holds: false });
  });
});
