import { describe, expect, test } from 'vitest';

import { checkChain, Incomplete } from '#cli/chain-check.ts';
import { linesOf } from '#cli/lines.ts';
import type { AuditEnd, AuditLine } from '#contracts/audit-api.ts';
import { type ChainHead, entryHash, entryText, FIRST_PREV, showHash } from '#contracts/chain.ts';
import { decisionRecord, tenantOf } from '#test/support/records.ts';

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

/** Five honest decisions as the server streams them, the end included. */
function streamed(): { lines: AuditLine[]; end: AuditEnd } {
  let prev = FIRST_PREV;
  const lines = [1, 2, 3, 4, 5].map((sequence): AuditLine => {
    const { leaf, payload } = decisionRecord(tenantOf('acme'));
    const source = { epoch: 'e', index: 0, sequence, stream: 'DECISIONS' };
    const entry = entryText({ body: leaf, kind: 'decision', sequence, source, tenant: 'acme' });
    prev = entryHash(prev, entry);
    return { entry, hash: showHash(prev), payload };
  });
  return { lines, end: { head: { sequence: 5, hash: showHash(prev) } } };
}
const { lines, end } = streamed();
const head = (sequence: number): ChainHead => ({ sequence, hash: lines[sequence - 1]!.hash });
const instead = (index: number, change: Partial<AuditLine>) =>
  lines.map((line, place) => (place === index ? { ...line, ...change } : line));
const without = (index: number): AuditLine[] => {
  const { payload: _, ...line } = lines[index]!;
  return lines.map((old, place) => (place === index ? line : old));
};

describe('checkChain', () => {
  test.each<[string, ChainHead | undefined]>([
    ['by itself', undefined],
    ['through a head that was written down', head(3)],
    ['up to the head that was written down', head(5)],
  ])('finds an honest chain intact, %s', async (_, known) => {
    expect(await checkChain('acme', each([...lines, end]), known)).toEqual({
      intact: true,
      rows: 5,
      head: end.head,
    });
  });

  const asked = lines.map((line): AuditLine => {
    const copy = { ...line, payload_fault: '' };
    delete copy.payload;
    return copy;
  });
  test.each<[string, readonly AuditLine[]]>([
    ['with an erased payload', instead(2, { payload: null, erased: true })],
    ['whose payloads the server has looked at', asked],
  ])('finds a chain intact %s', async (_, given) => {
    expect(await checkChain('acme', each([...given, end]))).toMatchObject({ intact: true });
  });

  const other = showHash(new Uint8Array(32));
  test.each<[string, readonly (AuditLine | AuditEnd)[], ChainHead | undefined, object]>([
    ['a missing row', [...lines.slice(1), end], undefined, { sequence: 1, fault: 'rows_missing' }],
    ['a cut tail', [...lines.slice(0, 3), end], undefined, { sequence: 4, fault: 'tail_missing' }],
    [
      'a cut tail, head included, by the head that was written down',
      [...lines.slice(0, 3), { head: head(3) }],
      head(5),
      { sequence: 4, fault: 'tail_missing' },
    ],
    [
      'a chain made anew, by the head that was written down',
      [...lines, end],
      { sequence: 2, hash: other },
      { sequence: 2, fault: 'history_differs' },
    ],
    [
      'a payload of another record',
      [...instead(2, { payload: lines[3]!.payload! }), end],
      undefined,
      { sequence: 3, fault: 'payload_wrong', detail: 'arguments is not what was committed to' },
    ],
    [
      'a payload that is gone',
      [...instead(2, { payload: null }), end],
      undefined,
      { sequence: 3, fault: 'payload_wrong', detail: 'the payload is missing' },
    ],
    [
      'a payload that was left out',
      [...without(0), end],
      undefined,
      { sequence: 1, fault: 'payload_wrong' },
    ],
    [
      'a payload that the server finds wrong',
      [...asked.slice(0, 2), { ...asked[2]!, payload_fault: 'input is missing' }, end],
      undefined,
      { sequence: 3, fault: 'payload_wrong', detail: 'input is missing' },
    ],
    [
      'an index that differs',
      [...instead(4, { index_differs: true }), end],
      undefined,
      { sequence: 5, fault: 'index_differs' },
    ],
  ])('finds %s', async (_, given, known, finding) => {
    expect(await checkChain('acme', each(given), known)).toMatchObject({ intact: false, finding });
  });

  test('says nothing about rows that broke off', async () => {
    await expect(checkChain('acme', each(lines))).rejects.toThrow(Incomplete);
  });
});

describe('linesOf', () => {
  const bytes = new TextEncoder().encode('{"a":"é\u2028\r"}\n{"b":1}\nlast');
  test.each([1, 2, 3, 7, 100])(
    'gives the same lines whatever the pieces of %i bytes',
    async (size) => {
      const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
        bytes.subarray(index * size, (index + 1) * size),
      );
      const read: string[] = [];
      for await (const line of linesOf(each(pieces))) read.push(line);
      expect(read).toEqual(['{"a":"é\u2028\r"}', '{"b":1}', 'last']);
    },
  );
});
