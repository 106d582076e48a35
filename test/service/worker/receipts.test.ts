// Receipts of a worker: one for each decision that wants one, signed together, and what each says stands in the record
// in the stream.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { checkAgainst } from '#cli/receipt-check.ts';
import type { CallEnvelope, WorkerAnswer } from '#contracts/call.ts';
import { CONTROL_KEYS } from '#contracts/control.ts';
import { canonical, type Json } from '#contracts/json.ts';
import { receiptJwks } from '#contracts/receipt-key.ts';
import { openReceipt } from '#contracts/receipt.ts';
import { decodeRecords, sha256 } from '#contracts/record.ts';

import { startWorld, type World } from '../../support/world.ts';

let world: World;
let capability: string;
beforeAll(async () => {
  world = await startWorld();
  await world.activate(`package countersign.policy
import rego.v1
decision := {"verdict": "block"} if input.call.arguments.order_id == "no"
else := {"verdict": "escalate"} if input.call.arguments.order_id == "hold"
else := {"verdict": "allow"}
`);
  capability = await world.mint([
    { t: 'agent_lock', agent: 'shop-agent' },
    { t: 'tool_allow', tools: ['lookup_order'] },
  ]);
});
afterAll(() => world.close());

const ask = async (
  args: Json,
  call: Partial<CallEnvelope> = {},
): Promise<Extract<WorkerAnswer, { kind: 'decided' }>> => {
  const answer = await world.ask({ capability, receipt: true, args, ...call });
  if (answer.kind !== 'decided') throw new Error(JSON.stringify(answer));
  return answer;
};

async function leafOf({ position }: Awaited<ReturnType<typeof ask>>) {
  const { sequence: seq, index } = position;
  const message = await world.operator.jsm.streams.getMessage('DECISIONS', { seq });
  const record = decodeRecords(message?.string() ?? '')[index];
  return JSON.parse(record?.leaf ?? '{}') as Record<string, unknown>;
}

/** Size of the group that a receipt was signed in. */
const groupOf = (receipt: string): number =>
  Buffer.from(receipt.split('.')[2] ?? '', 'base64url').readUInt16BE(2);

describe('a receipt', () => {
  it('is given to each of many calls at once, by one signature for many, and is what the record says', async () => {
    const all = Array.from({ length: 60 }, (_, n) => ({ order_id: `o-${n}`, é: n / 3 }));
    const answers = await Promise.all(all.map((args) => ask(args)));
    for (const [n, answer] of answers.entries()) {
      const statement = openReceipt(answer.receipt ?? '')!;
      expect(statement).toMatchObject({
        args_hash: sha256(canonical(all[n] as Json)),
        decision_id: answer.body.decision_id,
        exp: Date.parse(answer.body.valid_until),
        policy: answer.body.policy.digest,
        upstream: 'shop',
      });
      expect(checkAgainst(statement, await leafOf(answer))).toMatchObject({ holds: true });
    }
    const groups = answers.map(({ receipt = '' }) => groupOf(receipt));
    expect(Math.max(...groups)).toBeGreaterThan(1);
    const nonces = answers.map(({ receipt = '' }) => openReceipt(receipt)?.nonce);
    expect(new Set(nonces).size).toBe(all.length);
  });

  it.each([
    ['no', 'block'],
    ['hold', 'escalate'],
    ['yes', 'allow'],
  ])('of a call %s says %s', async (order_id, verdict) => {
    const answer = await ask({ order_id });
    expect(openReceipt(answer.receipt ?? '')?.verdict).toBe(verdict);
    const checked = checkAgainst(openReceipt(answer.receipt ?? '')!, await leafOf(answer));
    expect(checked).toMatchObject({ holds: true });
  });

  it('is of a call that nobody has a policy for too', async () => {
    const answer = await ask({}, { tool: 'wipe' });
    expect(openReceipt(answer.receipt ?? '')).toMatchObject({ policy: '', verdict: 'block' });
  });

  it('is the same when the same call_id is answered again', async () => {
    const first = await ask({ order_id: 'again' }, { call_id: 'again' });
    const second = await ask({ order_id: 'again' }, { call_id: 'again' });
    expect([second.repeated, second.receipt]).toEqual([true, first.receipt]);
  });

  it('is not made where nobody asks, and the record says so', async () => {
    const { receipt: _, ...plain } = { receipt: true };
    const answer = await world.ask({ capability, args: { order_id: 'o' }, ...plain });
    if (answer.kind !== 'decided') throw new Error(answer.kind);
    expect([answer.receipt, (await leafOf(answer))['receipt_key']]).toEqual([undefined, '']);
  });
});

describe('the key', () => {
  const prefix = CONTROL_KEYS.signer('');
  const listed = async () => {
    const control = await world.operator.bucket('control');
    const entries: [string, unknown][] = [];
    for await (const key of await control.keys(`${prefix}*`)) {
      const entry = await control.get(key);
      entries.push([key.slice(prefix.length), entry?.json<{ value: unknown }>().value]);
    }
    return receiptJwks(entries, Date.now()).keys.map(({ kid }) => kid);
  };

  it('stands in the control bucket before it signs, and stays when its worker is gone', async () => {
    const { receipt = '' } = await ask({ order_id: 'o' });
    const before = await listed();
    expect(before).toEqual([openReceipt(receipt)?.key]);
    const another = await world.startWorker();
    await another.stop();
    const after = await listed();
    expect([after.length, after]).toEqual([2, expect.arrayContaining(before)]);
  });

  it('that has ended is removed by the next worker that starts', async () => {
    const control = await world.operator.bucket('control');
    const ended = prefix + 'E'.repeat(43);
    const value = { worker: 'w', until: 1, mac: '' };
    await control.put(ended, JSON.stringify({ sequence: 0, at: 1, value }));
    const another = await world.startWorker();
    await another.stop();
    expect((await control.get(ended))?.operation).toBe('DEL');
  });
});
