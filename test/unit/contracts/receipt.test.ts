// Receipts as a worker makes them: whoever opens one gets the statement that was signed, and nothing else opens.

import { generateKeyPairSync, sign } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import { callHash } from '#contracts/call-hash.ts';
import { makeReceipts, openReceipt, statementText } from '#contracts/receipt.ts';
import { commitment, sha256 } from '#contracts/record.ts';

import { readVectors } from '../../support/vectors.ts';

interface Vector {
  readonly expected: string;
  readonly receipt: string;
}

/** What a text says of its key and its call is not looked at here. */
const OPEN = (code: string) => !/\.(missing|malformed|signature)$/.test(code);

describe.each(['receipts/valid', 'receipts/invalid'])('vectors of %s', (folder) => {
  it.each(readVectors<Vector>(folder))('%s', (_, { expected, receipt }) => {
    expect(openReceipt(receipt) !== undefined).toBe(OPEN(expected));
  });
});

describe('receipts of a group', () => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const key = publicKey.export({ format: 'jwk' }).x ?? '';
  const statementOf = (n: number) => {
    const nonce = n.toString(16).padStart(32, '0');
    const call = { tenant: 'demo', upstream: 'shop', tool: `tool_${n}`, argsHash: sha256('{}') };
    return {
      args_hash: call.argsHash,
      at: n,
      call: commitment(nonce, 'call', callHash({ ...call, definitionHash: '' })),
      decision_id: `decision ${n}`,
      definition_hash: '',
      exp: n + 30_000,
      key,
      nonce,
      policy: '',
      tenant: call.tenant,
      tool: call.tool,
      upstream: call.upstream,
      v: 1 as const,
      verdict: 'allow' as const,
      worker: 'worker-1',
    };
  };
  const made = (size: number) => {
    let signatures = 0;
    const receipts = makeReceipts(
      Array.from({ length: size }, (_, n) => statementText(statementOf(n))),
      (text) => {
        signatures += 1;
        return sign(null, Buffer.from(text), privateKey);
      },
    );
    return { receipts, signatures };
  };

  it.each([0, 1, 2, 3, 5, 8, 64, 100, 128])('of %d needs at most one signature', (size) => {
    const { receipts, signatures } = made(size);
    expect(receipts.map(openReceipt)).toEqual(receipts.map((_, n) => statementOf(n)));
    expect(signatures).toBe(size === 0 ? 0 : 1);
  });

  it('do not open with the proof of another one', () => {
    const { receipts } = made(5);
    const [first = '', second = ''] = receipts;
    const [, said] = first.split('.');
    const [, , proof] = second.split('.');
    expect(openReceipt(`csr1.${said}.${proof}`)).toBeUndefined();
  });

  it('do not open with any other character in the place of one', () => {
    const [receipt = ''] = made(3).receipts;
    const opened = Array.from({ length: receipt.length }, (_, at) => {
      const other = receipt[at] === 'A' ? 'B' : 'A';
      return openReceipt(receipt.slice(0, at) + other + receipt.slice(at + 1));
    });
    expect(opened.filter((statement) => statement !== undefined)).toEqual([]);
  });
});
