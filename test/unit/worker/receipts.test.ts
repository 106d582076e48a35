// The key of a worker over days: announced again and again, replaced after one, and still there for what named it.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { ControlEntry } from '#contracts/control.ts';
import type { ReceiptKey } from '#contracts/receipt-key.ts';
import { receiptJwks } from '#contracts/receipt-key.ts';
import { createLog } from '#host/log.ts';

import { createReceipts } from '../../../services/decision-worker/receipts.ts';

const DAY_MS = 24 * 3_600_000;
const MAC_KEYS = new Map([['decision-worker', [new Uint8Array(32).fill(1)]]]);

beforeEach(() => {
  vi.useFakeTimers({ now: 1_800_000_000_000, toFake: ['Date', 'setInterval', 'clearInterval'] });
});
afterEach(() => {
  vi.useRealTimers();
});

async function started() {
  const stored = new Map<string, ControlEntry<ReceiptKey>>();
  let away = false;
  const receipts = await createReceipts({
    bucket: {
      put: async (key, text) => {
        if (away) throw new Error('the bus is away');
        stored.set(key, JSON.parse(String(text)) as ControlEntry<ReceiptKey>);
        return 1;
      },
      delete: async (key) => void stored.delete(key),
    },
    view: {
      keys: () => [...stored.keys()],
      get: <T>(key: string) => stored.get(key) as ControlEntry<T> | undefined,
    },
    worker: 'w1',
    macKeys: MAC_KEYS,
    log: createLog('test', 'fatal'),
  });
  return {
    receipts,
    listed: () =>
      receiptJwks(
        [...stored].map(([key, { value }]) => [key.slice('signer.'.length), value] as const),
        Date.now(),
        MAC_KEYS,
      ).keys.map(({ kid }) => kid),
    forget: () => stored.clear(),
    away: (now: boolean) => (away = now),
  };
}

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

describe('the key of a worker', () => {
  it('is listed from the start, and again when its entry is lost', async () => {
    const { receipts, listed, forget } = await started();
    expect(listed()).toEqual([receipts.key()]);
    forget();
    await pass(60_000);
    expect(listed()).toEqual([receipts.key()]);
    receipts.close();
  });

  it('is another one after a day, and the first stays listed for one more', async () => {
    const { receipts, listed } = await started();
    const first = receipts.key();
    await pass(DAY_MS);
    const second = receipts.key();
    expect([second === first, listed()]).toEqual([false, [second, first]]);
    await pass(DAY_MS + 1);
    expect(listed()).not.toContain(first);
    receipts.close();
  });

  it('signs what named it before it was replaced', async () => {
    const { receipts } = await started();
    const first = receipts.key();
    await pass(DAY_MS);
    const unsigned = [first, receipts.key()].map((key) => ({ receipt: { statement: '{}', key } }));
    const made = receipts.sign([...unsigned, {}]);
    expect(made.map((receipt) => typeof receipt)).toEqual(['string', 'string', 'undefined']);
    expect(made[0]).not.toBe(made[1]);
    receipts.close();
  });

  it('is not replaced by one that could not be announced', async () => {
    const { receipts, away } = await started();
    const first = receipts.key();
    away(true);
    await pass(DAY_MS + 120_000);
    expect(receipts.key()).toBe(first);
    away(false);
    await pass(60_000);
    expect(receipts.key()).not.toBe(first);
    receipts.close();
  });
});
