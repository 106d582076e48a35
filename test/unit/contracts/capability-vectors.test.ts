import { readFileSync } from 'node:fs';

import { describe, expect, test } from 'vitest';

import {
  attenuate,
  decodeCapability,
  verifyCapability,
  type VerifiedCapability,
} from '#contracts/capability.ts';
import type { Caveat } from '#contracts/capability/caveats.ts';
import { judgeCaveats, type CapabilityCall } from '#contracts/capability/judge.ts';
import { isToolPattern, matchesTool } from '#contracts/capability/tool-pattern.ts';
import { readVectors } from '#test/support/vectors.ts';
import toolPatterns from '#test/vectors/capabilities/tool-patterns.json' with { type: 'json' };

const keys = (hex: readonly string[]) => hex.map((key) => Buffer.from(key, 'hex'));

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
    key_index: number;
  };
}

describe('valid', () => {
  const vectors = readVectors<ValidVector>('capabilities/valid');

  test.each(vectors)('%s is verified', (_, { capability, verified, ...vector }) => {
    const expected: VerifiedCapability = {
      jti: verified.jti,
      rootJti: verified.root_jti,
      issuer: verified.issuer,
      tenant: verified.tenant,
      zone: verified.zone,
      subject: verified.subject,
      issuedAt: verified.issued_at,
      notBefore: verified.not_before,
      caveats: verified.caveats,
      links: verified.links,
      keyIndex: verified.key_index,
    };
    expect(verifyCapability(capability, keys(vector.keys))).toEqual({
      ok: true,
      capability: expected,
    });
  });

  test.each(vectors)('%s is refused by a foreign key', (_, { capability }) => {
    expect(verifyCapability(capability, [Buffer.alloc(32)])).toMatchObject({
      ok: false,
      code: 'capability.signature',
    });
  });

  test.each(vectors)('%s can be narrowed further', (_, { capability, verified, ...vector }) => {
    if (verified.caveats.length === 64) return;
    const child = attenuate(capability, [{ t: 'exp', exp: 1_700_000_001 }]);
    const result = verifyCapability(child, keys(vector.keys));
    expect(result).toMatchObject({
      ok: true,
      capability: { caveats: [...verified.caveats, { t: 'exp', exp: 1_700_000_001 }] },
    });
    if (result.ok) expect(result.capability.links.slice(0, -1)).toEqual(verified.links);
  });
});

describe('invalid', () => {
  test.each(
    readVectors<{ keys: string[]; capability: string; code: string }>('capabilities/invalid'),
  )('%s', (_, { capability, code, ...vector }) => {
    expect(verifyCapability(capability, keys(vector.keys))).toMatchObject({ ok: false, code });
    if (code !== 'capability.signature') {
      expect(decodeCapability(capability)).toMatchObject({ ok: false, code });
    }
  });
});

interface JudgedVector {
  keys: string[];
  capability: string;
  call: Omit<CapabilityCall, 'nowMs'> & { now_ms: number };
  refusal: object | null;
}

describe('judged', () => {
  test.each(readVectors<JudgedVector>('capabilities/judged'))('%s', (_, vector) => {
    const verified = verifyCapability(vector.capability, keys(vector.keys));
    if (!verified.ok) throw new Error(verified.detail);
    const { now_ms: nowMs, ...call } = vector.call;
    const refusal = judgeCaveats(verified.capability, { ...call, nowMs });
    if (vector.refusal === null) expect(refusal).toBeNull();
    else expect(refusal).toEqual({ ...vector.refusal, detail: expect.any(String) as string });
  });
});

test('the example of the documentation is a vector', () => {
  const page = readFileSync(new URL('../../../docs/capability.md', import.meta.url), 'utf8');
  const [, example] = readVectors<ValidVector & { signed: string[] }>('capabilities/valid').find(
    ([name]) => name === 'narrowed-twice',
  )!;
  for (const text of [
    example.capability,
    ...example.keys,
    ...example.signed,
    ...example.verified.links,
  ]) {
    expect(page).toContain(text);
  }
});

describe('tool patterns', () => {
  test.each(toolPatterns)('$pattern and $tool: $matches', ({ pattern, tool, matches }) => {
    expect(isToolPattern(pattern)).toBe(matches !== 'malformed');
    expect(matchesTool(pattern, tool)).toBe(matches === true);
  });
});
