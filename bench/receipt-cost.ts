// What a receipt costs a decision: its statement, its share of the group's tree and of the one signature, and what the
// leaf says of it. And what it costs a tool server to check one.

import { generateKeyPairSync, sign } from 'node:crypto';

import { callHash } from '#contracts/call-hash.ts';
import { ALLOW_VALID_MS } from '#contracts/call.ts';
import { makeReceipts, type ReceiptStatement, statementText } from '#contracts/receipt.ts';
import { commitment, sha256 } from '#contracts/record.ts';

import { ReceiptGuard } from '../sdk/typescript/src/receipts.ts';
import { freshDecisionId, freshSalt } from '../services/decision-worker/random.ts';
import type { Row } from './rows.ts';
import { figure } from './table.ts';

const GROUPS = [1, 8, 32, 128];
const BATCHES = 60;
const BATCHES_QUICK = 10;
/** Receipts made in one measurement, of whatever groups. */
const RECEIPTS = 512;

const ARGS = { order_id: 'ord_1002', amount: 45, reason: 'arrived broken' };
const ARGS_TEXT = '{"amount":45,"order_id":"ord_1002","reason":"arrived broken"}';

/** Microseconds of one receipt by size of its group, and of checking one. */
export async function receiptCost(batches: number): Promise<Record<string, number>> {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const key = publicKey.export({ format: 'jwk' }).x ?? '';
  const statement = statementsOf(key);
  const signed = (text: string) => sign(null, Buffer.from(text), privateKey);
  const figures: Record<string, number> = {};
  const least = (name: string, micros: number) => {
    figures[name] = Math.min(figures[name] ?? micros, micros);
  };
  const jwk = { kty: 'OKP', crv: 'Ed25519', kid: key, x: key };
  const guard = new ReceiptGuard({ upstream: 'shop', tenants: ['demo'], keys: { keys: [jwk] } });
  for (let batch = 0; batch < batches; batch += 1) {
    for (const size of GROUPS) {
      const from = performance.now();
      for (let made = 0; made < RECEIPTS; made += size) {
        makeReceipts(Array.from({ length: size }, statement), signed);
      }
      least(`made in a group of ${size}`, ((performance.now() - from) * 1_000) / RECEIPTS);
    }
    const receipts = makeReceipts(Array.from({ length: 32 }, statementsOf(key)), signed);
    const from = performance.now();
    for (const receipt of receipts)
      await guard.check(receipt, { tool: 'refund_order', arguments: ARGS });
    least('checked by a tool server', ((performance.now() - from) * 1_000) / receipts.length);
  }
  return figures;
}

/** As the worker makes them. Nonce and commitment are there already: the leaf has them, with or without a receipt. */
function statementsOf(key: string): () => string {
  const call = { tenant: 'demo', upstream: 'shop', tool: 'refund_order', definitionHash: '' };
  const bound = Array.from({ length: RECEIPTS }, () => {
    const nonce = freshSalt();
    return {
      nonce,
      call: commitment(nonce, 'call', callHash({ ...call, argsHash: sha256(ARGS_TEXT) })),
    };
  });
  let next = 0;
  return () => {
    const at = Date.now();
    const argsHash = sha256(ARGS_TEXT);
    const { nonce, call: committed } = bound[next++ % RECEIPTS] ?? { nonce: '', call: '' };
    const statement: ReceiptStatement = {
      args_hash: argsHash,
      at,
      call: committed,
      decision_id: freshDecisionId(at),
      definition_hash: '',
      exp: at + ALLOW_VALID_MS,
      key,
      nonce,
      policy: argsHash,
      tenant: 'demo',
      tool: 'refund_order',
      upstream: 'shop',
      v: 1,
      verdict: 'allow',
      worker: 'worker-1',
    };
    return statementText(statement);
  };
}

/** The row alone: `npm run bench -- receipts`. */
export const receipts: Row = async ({ quick, table }) => {
  const figures = await receiptCost(quick ? BATCHES_QUICK : BATCHES);
  table({
    title: 'A receipt, in microseconds of CPU',
    columns: ['', 'us'],
    rows: Object.entries(figures).map(([name, micros]) => [name, figure(micros)]),
    notes: [
      'A decision without a receipt pays nothing of it. A group is what one stored message holds.',
    ],
  });
  return { receipt_microseconds: figures };
};
