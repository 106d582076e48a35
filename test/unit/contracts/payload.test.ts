import { randomBytes } from 'node:crypto';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { callHash } from '#contracts/call-hash.ts';
import { canonical, type Json } from '#contracts/json.ts';
import { payloadFault } from '#contracts/payload.ts';
import { sealPayload, sha256 } from '#contracts/record.ts';
import { runs } from '#test/support/runs.ts';

const salt = () => randomBytes(16).toString('hex');

const args = '{"amount":120,"order_id":"A-1"}';
const call = { tenant: 'acme', tool: 'refund_order', upstream: 'shop' };

/** Leaf and payload of a decision as the worker seals them. */
function decision(input: string = `{"call":{"arguments":${args},"tool":"refund_order"}}`) {
  const definitionHash = `sha256:${'0'.repeat(64)}`;
  const hidden = {
    arguments: args,
    call: callHash({ ...call, definitionHash, argsHash: sha256(args) }),
  };
  const evidence = `{"definition_hash":"${definitionHash}"}`;
  const { payload, commitments } = sealPayload({ evidence, input }, hidden, salt);
  return { leaf: { kind: 'decision', ...call, commitments }, payload };
}

/** Leaf and payload of any other record. */
function outcome(sections: Readonly<Record<string, string>>) {
  const { payload, commitments } = sealPayload(sections, {}, salt);
  return { leaf: { kind: 'outcome', commitments }, payload };
}

const edit = (payload: string, change: (value: Record<string, Record<string, Json>>) => void) => {
  const value = JSON.parse(payload) as Record<string, Record<string, Json>>;
  change(value);
  return canonical(value as Json);
};

describe('payloadFault', () => {
  test('finds nothing in what the writers seal', () => {
    const { leaf, payload } = decision();
    expect(payloadFault(leaf, payload)).toBe('');
    const plain = outcome({ detail: '"late"' });
    expect(payloadFault(plain.leaf, plain.payload)).toBe('');
    const nothing = outcome({});
    expect(payloadFault(nothing.leaf, nothing.payload)).toBe('');
  });

  const sound = decision();
  test.each([
    ['not JSON', sound.payload.slice(1), 'the payload is malformed'],
    ['written with a blank', ` ${sound.payload}`, 'the payload is malformed'],
    [
      'with more beside its sections',
      edit(sound.payload, (value) => (value['note'] = {})),
      'the payload is malformed',
    ],
    [
      'with a section more',
      edit(sound.payload, ({ sections }) => (sections!['note'] = 'trust me')),
      'note is not committed to',
    ],
    [
      'with a salt more',
      edit(sound.payload, ({ salts }) => (salts!['note'] = salt())),
      'note is not committed to',
    ],
    [
      'without its evidence',
      edit(sound.payload, ({ sections }) => delete sections!['evidence']),
      'arguments is missing',
    ],
    [
      'without a salt',
      edit(sound.payload, ({ salts }) => delete salts!['call']),
      'call is missing',
    ],
    [
      'with another input',
      edit(sound.payload, ({ sections }) => (sections!['input'] = { call: { arguments: {} } })),
      'arguments is not what was committed to',
    ],
    [
      'with another definition',
      edit(sound.payload, ({ sections }) => (sections!['evidence'] = { definition_hash: '' })),
      'call is not what was committed to',
    ],
    ['of another record', decision().payload, 'arguments is not what was committed to'],
  ])('finds a payload %s', (_, payload, fault) => {
    expect(payloadFault(sound.leaf, payload)).toBe(fault);
  });

  test.each([
    ['tool', { tool: 'send_email' }],
    ['upstream', { upstream: '' }],
    ['tenant', { tenant: 'other' }],
  ])('finds another %s in the leaf by the call', (_, change) => {
    expect(payloadFault({ ...sound.leaf, ...change } as typeof sound.leaf, sound.payload)).toBe(
      'call is not what was committed to',
    );
  });

  test('finds any single changed byte', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 255 }), (which, flip) => {
        const bytes = Buffer.from(sound.payload, 'utf8');
        bytes[which % bytes.length]! ^= flip;
        expect(payloadFault(sound.leaf, bytes.toString('utf8'))).not.toBe('');
      }),
      runs(2_000),
    );
  });

  test('finds two sections that changed places', () => {
    const { leaf, payload } = outcome({ a: '1', b: '2' });
    const swapped = edit(payload, ({ sections, salts }) => {
      [sections!['a'], sections!['b']] = [sections!['b']!, sections!['a']!];
      [salts!['a'], salts!['b']] = [salts!['b']!, salts!['a']!];
    });
    expect(payloadFault(leaf, swapped)).toBe('a is not what was committed to');
  });
});
