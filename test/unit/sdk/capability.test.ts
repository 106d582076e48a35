// The TypeScript SDK holds to the vectors and to contracts/capability.ts, byte for byte.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { attenuate as narrow, mintCapability, verifyCapability } from '#contracts/capability.ts';
import type { Caveat } from '#contracts/capability/caveats.ts';
import { anyCapabilityText, anyCaveat, CLAIMS } from '#test/support/random-capability.ts';
import { runs, runsTimeout } from '#test/support/runs.ts';
import { readVectors } from '#test/support/vectors.ts';
import toolPatterns from '#test/vectors/capabilities/tool-patterns.json' with { type: 'json' };

import { attenuate, inspect, MalformedCapability } from '../../../sdk/typescript/src/index.ts';

const KEY = new Uint8Array(32).fill(7);
const EXPIRY: Caveat = { t: 'exp', exp: 1_700_000_060 };
const ROOT = mintCapability({ claims: CLAIMS, caveats: [] }, KEY);

function fault(make: () => unknown): string | undefined {
  try {
    make();
    return undefined;
  } catch (error) {
    if (error instanceof MalformedCapability) return error.code;
    throw error;
  }
}

interface ValidVector {
  keys: string[];
  capability: string;
  verified: {
    jti: string;
    root_jti: string;
    issuer: string;
    tenant: string;
    zone: string;
    subject: string;
    issued_at: number;
    not_before: number | null;
    caveats: Caveat[];
    links: string[];
  };
}

describe('valid vectors', () => {
  const vectors = readVectors<ValidVector>('capabilities/valid');

  test.each(vectors)('%s says what it says', (_, { capability, verified }) => {
    const { caveats, links } = verified;
    const expiries = caveats.flatMap((caveat) => (caveat.t === 'exp' ? [caveat.exp] : []));
    expect(inspect(capability)).toEqual({
      id: verified.jti,
      rootId: verified.root_jti,
      issuer: verified.issuer,
      tenant: verified.tenant,
      zone: verified.zone,
      agent: verified.subject,
      issuedAt: verified.issued_at,
      notBefore: verified.not_before ?? undefined,
      expiresAt: expiries.length === 0 ? undefined : Math.min(...expiries),
      caveats,
      revocationId: links.at(-1),
    });
  });

  test.each(vectors)('%s is narrowed as contracts do it', (_, { capability, keys, verified }) => {
    if (verified.caveats.length === 64) {
      expect(fault(() => attenuate(capability, { caveats: [EXPIRY] }))).toBe(
        'capability.malformed',
      );
      return;
    }
    const child = attenuate(capability, { caveats: [EXPIRY] });
    expect(child).toBe(narrow(capability, [EXPIRY]));
    const secrets = keys.map((key) => Buffer.from(key, 'hex'));
    expect(verifyCapability(child, secrets)).toMatchObject({ ok: true });
  });
});

describe('invalid vectors', () => {
  const vectors = readVectors<{ capability: string; code: string }>('capabilities/invalid');

  test.each(vectors)('%s', (_, { capability, code }) => {
    // Whether the signature is right only the holder of the key can say.
    const expected = code === 'capability.signature' ? undefined : code;
    expect(fault(() => inspect(capability))).toBe(expected);
    expect(fault(() => attenuate(capability, {}))).toBe(expected);
  });
});

test.each(toolPatterns)('the pattern $pattern can be stated: $matches', ({ pattern, matches }) => {
  const expected = matches === 'malformed' ? 'capability.malformed' : undefined;
  expect(fault(() => attenuate(ROOT, { tools: [pattern] }))).toBe(expected);
});

test(
  'random chains are those of contracts, and are verified',
  () => {
    const chains = fc.tuple(
      fc.array(anyCaveat, { maxLength: 4 }),
      fc.array(anyCaveat, { maxLength: 6 }),
    );
    fc.assert(
      fc.property(chains, ([minted, added]) => {
        const root = mintCapability({ claims: CLAIMS, caveats: minted }, KEY);
        const child = attenuate(root, { caveats: added });
        expect(child).toBe(narrow(root, added));
        expect(verifyCapability(child, [KEY])).toMatchObject({ ok: true });
      }),
      runs(2_000),
    );
  },
  runsTimeout(2_000),
);

test(
  'any text is a capability for both or for neither',
  () => {
    fc.assert(
      fc.property(anyCapabilityText, (token) => {
        const here = fault(() => inspect(token)) === undefined;
        const there = fault(() => attenuateByContracts(token)) === undefined;
        expect(here).toBe(there);
      }),
      runs(2_000),
    );
  },
  runsTimeout(2_000),
);

function attenuateByContracts(token: string): void {
  try {
    narrow(token, []);
  } catch (error) {
    throw new MalformedCapability(String(error));
  }
}

test('what can be asked in words stands in one order, the expiry before what is counted', () => {
  const child = attenuate(ROOT, {
    calls: 3,
    amounts: [{ path: '/amount', max: 50, total: 120.5 }],
    arguments: [{ path: '/currency', one_of: ['EUR', 'CHF'] }],
    audience: 'countersign',
    sender: { jkt: '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I' },
    actor: 'agent-b',
    task: 'task-1',
    upstreams: ['shop'],
    forbiddenTools: ['delete_*'],
    tools: ['lookup_order', 'refund_order'],
    notBefore: 1_700_000_001,
    expires: new Date(1_700_000_060_999),
    caveats: [{ t: 'tenant', tenant: 'demo' }],
  });
  expect(inspect(child).caveats).toEqual([
    { t: 'exp', exp: 1_700_000_060 },
    { t: 'nbf', nbf: 1_700_000_001 },
    { t: 'tool_allow', tools: ['lookup_order', 'refund_order'] },
    { t: 'tool_deny', tools: ['delete_*'] },
    { t: 'upstream', upstreams: ['shop'] },
    { t: 'task', task: 'task-1' },
    { t: 'actor', agent: 'agent-b' },
    { t: 'audience', audience: 'countersign' },
    { t: 'sender', jkt: '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I' },
    { t: 'args', path: '/currency', one_of: ['EUR', 'CHF'] },
    { t: 'amount', path: '/amount', max: 50, total: 120.5 },
    { t: 'max_calls', max_calls: 3 },
    { t: 'tenant', tenant: 'demo' },
  ]);
});

test.each([
  ['an empty list of tools', { tools: [] }],
  ['no call at all', { calls: 0 }],
  ['a date that is none', { expires: new Date(Number.NaN) }],
  ['half a surrogate pair', { task: '\ud800' }],
  ['two conditions on one argument', { arguments: [{ path: '/a', equals: 1, prefix: 'x' }] }],
  ['a caveat that nobody knows', { caveats: [{ t: 'weather' } as unknown as Caveat] }],
] as const)('%s cannot be asked for', (_, narrowing) => {
  expect(fault(() => attenuate(ROOT, narrowing))).toMatch(/^capability\./);
});
