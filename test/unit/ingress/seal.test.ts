// Handles that leave the house: they come back whole or not at all.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { asDecisionId } from '#contracts/ids.ts';

import { createSeal, SEALED_CHARS_MAX, type Sealed } from '../../../services/ingress/seal.ts';

const KEY = new Uint8Array(32).fill(7);
const REF: Sealed = {
  kind: 'ref',
  id: asDecisionId('019a1b2c-0000-7000-8000-000000000001'),
  principal: `sha256:${'a'.repeat(64)}`,
  expiresAt: 1_800_000_000_000,
  position: { epoch: 'mg1k2l3m', sequence: 9_007_199_254_740_991, index: 127 },
};

describe('a seal', () => {
  it('gives back what was sealed, in every process with the same key', () => {
    const text = createSeal(KEY).seal(REF);
    expect(createSeal(KEY).open('ref', text)).toEqual(REF);
    expect(text).toMatch(/^[A-Za-z0-9_-]+$/);
    expect(text.length).toBeLessThan(SEALED_CHARS_MAX);
  });

  it('never seals the same thing to the same text', () => {
    const seals = [createSeal(KEY), createSeal(KEY)];
    const texts = seals.flatMap(({ seal }) => [seal(REF), seal(REF)]);
    expect(new Set(texts).size).toBe(4);
  });

  it('shows nothing of what it names', () => {
    const bytes = Buffer.from(createSeal(KEY).seal(REF), 'base64url').toString('latin1');
    for (const part of [REF.id, REF.position.epoch, String(REF.position.sequence), 'sha256']) {
      expect(bytes).not.toContain(part);
    }
  });

  it.each<[string, (text: string) => string | undefined]>([
    ['another key', (text) => open(text, new Uint8Array(32).fill(8))],
    ['another kind', (text) => createSeal(KEY).open('task', text)?.kind],
    ['nothing at all', () => open('')],
    ['one byte less', (text) => open(text.slice(0, -4))],
    ['four characters more', (text) => open(`${text}AAAA`)],
    ['padding', (text) => open(`${text}=`)],
    ['a blank in front', (text) => open(` ${text}`)],
    ['more than any handle has', () => open('A'.repeat(SEALED_CHARS_MAX + 1))],
  ])('does not open with %s', (_name, attempt) => {
    expect(attempt(createSeal(KEY).seal(REF))).toBeUndefined();
  });

  it('does not open when any one bit differs', () => {
    const { seal, open: opener } = createSeal(KEY);
    const text = seal(REF);
    const bytes = Buffer.from(text, 'base64url');
    fc.assert(
      fc.property(fc.nat(bytes.length * 8 - 1), (bit) => {
        const changed = Buffer.from(bytes);
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        return opener('ref', changed.toString('base64url')) === undefined;
      }),
      { numRuns: 1_000 },
    );
  });

  it('does not open when any one character differs', () => {
    const { seal, open: opener } = createSeal(KEY);
    const text = seal(REF);
    fc.assert(
      fc.property(
        fc.nat(text.length - 1),
        fc.constantFrom(...'ABCXYZabcxyz0189-_'.split('')),
        (at, character) => {
          const changed = text.slice(0, at) + character + text.slice(at + 1);
          return changed === text || opener('ref', changed) === undefined;
        },
      ),
      { numRuns: 1_000 },
    );
  });
});

const open = (text: string, key = KEY) => createSeal(key).open('ref', text)?.id;
