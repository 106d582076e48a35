// The guard of the TypeScript SDK against the language-neutral vectors, and what they cannot hold: a second use, keys
// that come and go, a store that fails.

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import {
  type GuardOptions,
  memoryNonces,
  ReceiptGuard,
} from '../../../sdk/typescript/src/receipts.ts';
import { readVectors } from '../../support/vectors.ts';
import guardVector from '../../vectors/receipts/guard.json' with { type: 'json' };

interface Vector {
  readonly expected: string;
  readonly receipt: string;
  readonly call: { readonly tool: string; readonly arguments: unknown };
}

const { now, ...options } = guardVector;
const [[, alone] = ['', undefined]] = readVectors<Vector>('receipts/valid').filter(
  ([name]) => name === 'signed-alone',
);

const said = (guard: ReceiptGuard, { receipt, call }: Vector) =>
  guard.check(receipt, call).then(
    () => 'ok',
    (error: unknown) => (error as { code?: string }).code ?? error,
  );
const first = (guard: ReceiptGuard) => said(guard, alone!);

beforeEach(() => {
  vi.useFakeTimers({ now, toFake: ['Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe.each(['receipts/valid', 'receipts/invalid'])('vectors of %s', (folder) => {
  it.each(readVectors<Vector>(folder))('%s', async (_, vector) => {
    expect(await said(new ReceiptGuard(options), vector)).toBe(vector.expected);
  });
});

describe('a receipt', () => {
  it('is used once', async () => {
    const guard = new ReceiptGuard(options);
    expect([await first(guard), await first(guard)]).toEqual(['ok', 'receipt.used']);
  });

  it('is not used up by a call that is refused', async () => {
    const guard = new ReceiptGuard(options);
    const other = { ...alone!, call: { tool: 'refund_order', arguments: {} } };
    expect([await said(guard, other), await first(guard)]).toEqual(['receipt.other_call', 'ok']);
  });

  it('from before the start of this process is refused by its memory', async () => {
    vi.setSystemTime(now + 1);
    expect(await first(new ReceiptGuard(options))).toBe('receipt.used');
  });

  it.each<[string, GuardOptions['nonces'], string]>([
    ['throws', { use: () => { throw new Error('away'); } }, 'receipt.unavailable'], // prettier-ignore
    ['rejects', { use: () => Promise.reject(new Error('away')) }, 'receipt.unavailable'],
    ['knows the nonce', { use: async () => false }, 'receipt.used'],
    ['is full', memoryNonces(0), 'receipt.used'],
  ])('is refused when the store %s', async (_, nonces, expected) => {
    expect(await first(new ReceiptGuard({ ...options, ...(nonces && { nonces }) }))).toBe(expected);
  });
});

describe('keys from an address', () => {
  let keys: object = options.keys;
  let fetches = 0;
  const server = createServer((_, response) => {
    fetches += 1;
    response.end(JSON.stringify(keys));
  });
  let url = '';
  beforeEach(async () => {
    fetches = 0;
    keys = options.keys;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  });
  afterEach(() => new Promise((resolve) => server.close(resolve)));

  const nonces = { use: () => true };
  it('are fetched once', async () => {
    const guard = new ReceiptGuard({ ...options, keys: url, nonces });
    const ends = await Promise.all([first(guard), first(guard), first(guard)]);
    expect([ends, await first(guard), fetches]).toEqual([['ok', 'ok', 'ok'], 'ok', 1]);
  });

  it('are fetched again for one that nobody knew, but not for each call', async () => {
    keys = { keys: [] };
    const guard = new ReceiptGuard({ ...options, keys: url, nonces });
    const before = [await first(guard), await first(guard), await first(guard)];
    expect([before, fetches]).toEqual([Array(3).fill('receipt.unknown_key'), 1]);
    keys = options.keys;
    vi.setSystemTime(now + 1_000);
    expect([await first(guard), fetches]).toEqual(['ok', 2]);
  });

  it('that cannot be fetched let nothing run', async () => {
    const guard = new ReceiptGuard({ ...options, keys: 'http://127.0.0.1:1/', nonces });
    expect(await first(guard)).toBe('receipt.unavailable');
  });

  it('stay while they cannot be fetched again', async () => {
    const guard = new ReceiptGuard({ ...options, keys: url, nonces });
    const before = await first(guard);
    keys = 'nonsense' as never;
    vi.setSystemTime(now + 20_000);
    expect([before, await first(guard)]).toEqual(['ok', 'ok']);
  });
});
