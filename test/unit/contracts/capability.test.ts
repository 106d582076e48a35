import { createHmac } from 'node:crypto';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import {
  attenuate,
  capabilityId,
  decodeCapability,
  deriveTenantKey,
  mintCapability,
  verifyCapability,
  type VerifiedCapability,
} from '#contracts/capability.ts';
import type { Caveat } from '#contracts/capability/caveats.ts';
import { encodeJson, PYTHON_DEFAULT, type Dialect } from '#contracts/capability/encoding.ts';
import { hmacSha256 } from '#contracts/capability/hmac.ts';
import {
  argumentAt,
  expiresAt,
  judgeCaveats,
  judgeVisibility,
  limits,
  type CapabilityCall,
} from '#contracts/capability/judge.ts';
import { MalformedCapability } from '#contracts/capability/malformed.ts';
import type { Json } from '#contracts/json.ts';
import { NO_KEYS } from '#contracts/sender.ts';
import { FORGERIES, type Forgery } from '#test/support/forged-capability.ts';
import { anyCall, anyCaveat, CLAIMS } from '#test/support/random-capability.ts';
import { runs, runsTimeout } from '#test/support/runs.ts';

const KEY = new Uint8Array(32).fill(7);
const OTHER = new Uint8Array(32).fill(8);

const mint = (...caveats: Caveat[]) => mintCapability({ claims: CLAIMS, caveats }, KEY);

function verified(capability: string, keys = [KEY]): VerifiedCapability {
  const result = verifyCapability(capability, keys);
  if (!result.ok) throw new Error(`${result.code}: ${result.detail}`);
  return result.capability;
}

const CALL: CapabilityCall = {
  tool: 'read_a',
  upstream: 'shop',
  arguments: { amount: 3 },
  sender: NO_KEYS,
  agent: 'agent-a',
  actors: ['agent-a'],
  tenant: 'demo',
  task: '',
  audience: '',
  nowMs: 1_700_000_050_000,
};

describe('making', () => {
  test('a minted capability says what was asked, and its root is itself', () => {
    expect(verified(mint({ t: 'exp', exp: 1_700_000_060 }))).toMatchObject({
      ...CLAIMS,
      rootJti: CLAIMS.jti,
      caveats: [{ t: 'exp', exp: 1_700_000_060 }],
      keyIndex: 0,
    });
  });

  test('members of a caveat may be given in any order', () => {
    const caveat = { max: 2, min: 1, path: '/a', t: 'args' } as const;
    expect(mint(caveat)).toBe(mint({ t: 'args', path: '/a', min: 1, max: 2 }));
  });

  test('narrowing in two steps or at once gives the same capability', () => {
    const [a, b]: Caveat[] = [
      { t: 'exp', exp: 1_700_000_060 },
      { t: 'tool_deny', tools: ['x'] },
    ];
    expect(attenuate(attenuate(mint(), [a!]), [b!])).toBe(mint(a!, b!));
  });

  test.each<[string, Caveat[]]>([
    ['an empty list', [{ t: 'tool_allow', tools: [] }]],
    ['no calls', [{ t: 'max_calls', max_calls: 0 }]],
    ['half a surrogate', [{ t: 'task', task: '\ud800' }]],
    ['more than 64 caveats', Array<Caveat>(65).fill({ t: 'nbf', nbf: 1 })],
    ['more than 16 KiB', Array<Caveat>(20).fill({ t: 'task', task: 'x'.repeat(1000) })],
  ])('%s cannot be minted or added', (_, caveats) => {
    expect(() => mint(...caveats)).toThrow(MalformedCapability);
    expect(() => attenuate(mint(), caveats)).toThrow(MalformedCapability);
  });

  test('claims that could not be read back cannot be minted', () => {
    const claims = { ...CLAIMS, subject: '' };
    expect(() => mintCapability({ claims, caveats: [] }, KEY)).toThrow(MalformedCapability);
  });

  test('an id is the time and the random bytes, 22 characters', () => {
    const random = Uint8Array.from({ length: 12 }, (_, i) => i);
    expect(capabilityId(1_700_000_000, random)).toBe('ZVPxAAABAgMEBQYHCAkKCw');
  });

  test('each tenant has a key of its own', () => {
    const master = new Uint8Array(32).fill(0x4d);
    expect(Buffer.from(deriveTenantKey(master, 'demo')).toString('hex')).toBe(
      '939d956ae6ae680dab776bf053ec1facded8da0d0b9bb4eaa3c46c31f01db4c5',
    );
    expect(deriveTenantKey(master, 'demo')).not.toEqual(deriveTenantKey(master, 'demo2'));
    expect(() => deriveTenantKey(master.subarray(1), 'demo')).toThrow(RangeError);
  });
});

describe('verifying', () => {
  test('the key that fits is named, whichever it is', () => {
    const third = new Uint8Array(40).fill(9);
    expect(verified(mint(), [OTHER, third, KEY]).keyIndex).toBe(2);
  });

  test('without a key nothing is verified, and more than three are a mistake of ours', () => {
    expect(verifyCapability(mint(), [])).toMatchObject({ code: 'capability.signature' });
    expect(() => verifyCapability(mint(), [KEY, KEY, KEY, KEY])).toThrow(RangeError);
  });

  test('a hostile mixture of dialects costs a bounded number of attempts', () => {
    // 3^60 ways to read it, were each tried.
    const steps = Array.from({ length: 60 }, (_, i): [string[], Dialect] => [
      ['é&'],
      i % 2 === 0 ? 'js' : 'go',
    ]);
    expect(verifyCapability(signedInDialects(steps, 'go'), [KEY])).toMatchObject({
      code: 'capability.signature',
    });
  });

  test('reading needs no key', () => {
    expect(decodeCapability(mint())).toMatchObject({ ok: true, capability: { caveats: [] } });
  });
});

describe('judging', () => {
  test('what the budget stage counts, in chain order, under links that children share', () => {
    const parent = mint(
      { t: 'exp', exp: 1_700_000_060 },
      { t: 'max_calls', max_calls: 9 },
      { t: 'amount', path: '/amount', max: 5, total: 20.5 },
    );
    const child = verified(attenuate(parent, [{ t: 'max_calls', max_calls: 2 }]));
    expect(limits(child)).toEqual([
      { kind: 'calls', link: child.links[2], index: 1, atMost: 9 },
      { kind: 'amount', link: child.links[3], index: 2, atMost: 20.5, path: '/amount' },
      { kind: 'calls', link: child.links[4], index: 3, atMost: 2 },
    ]);
    expect(limits(verified(parent))).toEqual(limits(child).slice(0, 2));
    expect(limits(verified(mint()))).toEqual([]);
  });

  test('the earliest expiry of the chain counts', () => {
    expect(expiresAt(verified(mint()))).toBeNull();
    expect(expiresAt(verified(mint({ t: 'exp', exp: 9 }, { t: 'exp', exp: 8 })))).toBe(8);
  });

  test('the claim nbf counts like the caveat', () => {
    const claims = { ...CLAIMS, notBefore: 1_700_000_051 };
    const capability = verified(mintCapability({ claims, caveats: [] }, KEY));
    expect(judgeCaveats(capability, CALL)).toMatchObject({
      code: 'capability.not_yet_valid',
      index: -1,
      type: 'root',
    });
    expect(judgeCaveats(capability, { ...CALL, nowMs: 1_700_000_051_000 })).toBeNull();
  });

  test.each<[string, Json | undefined]>([
    ['/amount', 3],
    ['/lines/1/sku', 'b'],
    ['/lines/-', undefined],
    ['/lines/1/sku/0', undefined],
    ['/a~1b', 1],
    ['/~01', 2],
    ['/toString', undefined],
    ['/lines/length', undefined],
    ['/absent/deeper', undefined],
  ])('the argument at %s', (path, expected) => {
    const args = { amount: 3, lines: [{ sku: 'a' }, { sku: 'b' }], 'a/b': 1, '~1': 2 };
    expect(argumentAt(args, path)).toBe(expected);
  });

  test('a tool is visible when only arguments could still rule it out', () => {
    const { arguments: _, ...call } = CALL;
    const capability = verified(
      mint(
        { t: 'args', path: '/amount', max: 1 },
        { t: 'amount', path: '/amount', max: 1 },
        { t: 'tool_deny', tools: ['write_*'] },
      ),
    );
    expect(judgeCaveats(capability, CALL)).toMatchObject({ index: 0 });
    expect(judgeVisibility(capability, call)).toBeNull();
    expect(judgeVisibility(capability, { ...call, tool: 'write_a' })).toMatchObject({
      code: 'capability.tool_forbidden',
      index: 2,
    });
  });
});

const caveats = (maxLength: number) => fc.array(anyCaveat, { maxLength });

describe('properties', () => {
  test(
    'what a child allows its parent allows, and it is counted at least as often',
    () => {
      let allowed = 0;
      fc.assert(
        fc.property(caveats(3), caveats(2), anyCall, (ofParent, added, call) => {
          const parent = mint(...ofParent);
          const child = verified(attenuate(parent, added));
          const origin = verified(parent);
          if (judgeCaveats(child, call) === null) {
            allowed += 1;
            expect(judgeCaveats(origin, call)).toBeNull();
          }
          expect(limits(child).slice(0, limits(origin).length)).toEqual(limits(origin));
          expect(child.links.slice(0, origin.links.length)).toEqual(origin.links);
          expect(expiresAt(child) ?? Infinity).toBeLessThanOrEqual(expiresAt(origin) ?? Infinity);
        }),
        runs(2_500),
      );
      // Else the property says nothing.
      expect(allowed).toBeGreaterThan(runs(2_500).numRuns / 25);
    },
    runsTimeout(2_500),
  );

  test('a caveat reads back as it was written', () => {
    fc.assert(
      fc.property(caveats(8), (written) => {
        expect(verified(mint(...written)).caveats).toEqual(written);
      }),
      runs(500),
    );
  });

  test(
    'no change of one character is accepted',
    () => {
      const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ .';
      fc.assert(
        fc.property(
          caveats(4),
          fc.nat(),
          fc.constantFrom(...Array.from(alphabet)),
          (written, at, character) => {
            const capability = mint(...written);
            const place = at % capability.length;
            if (capability[place] === character) return;
            const changed = capability.slice(0, place) + character + capability.slice(place + 1);
            expect(verifyCapability(changed, [KEY]).ok).toBe(false);
          },
        ),
        runs(2_500),
      );
    },
    runsTimeout(2_500),
  );

  test(
    'nothing taken out, put in, moved, changed or signed for something else is accepted',
    () => {
      const change = fc.constantFrom(...(Object.keys(FORGERIES) as Forgery[]));
      fc.assert(
        fc.property(caveats(4), caveats(2), change, fc.nat(), (written, other, kind, at) => {
          const capability = mint(...written);
          const forged = FORGERIES[kind]({ capability, other, another: mint(...other), at });
          if (forged === capability) return;
          expect(verifyCapability(forged, [KEY]).ok).toBe(false);
        }),
        runs(2_500),
      );
    },
    runsTimeout(2_500),
  );

  test('nothing cut off, doubled or signed by another key is accepted', () => {
    fc.assert(
      fc.property(caveats(4), fc.nat(), (written, at) => {
        const capability = mint(...written);
        const cut = at % capability.length;
        expect(verifyCapability(capability.slice(0, cut), [KEY]).ok).toBe(false);
        expect(verifyCapability(capability + capability.slice(cut), [KEY]).ok).toBe(false);
        expect(verifyCapability(capability, [OTHER]).ok).toBe(false);
      }),
    );
  });

  test("IntentGate's caveats verify in whichever dialect each was signed", () => {
    const dialect = fc.constantFrom<Dialect>('go', 'js', 'python');
    const tools = fc.array(fc.constantFrom('é', '&', '<x>', '\u2028', 'plain', '😀\u007f'), {
      minLength: 1,
      maxLength: 3,
    });
    const signed = fc.array(fc.tuple(tools, dialect), { maxLength: 2 });
    fc.assert(
      fc.property(signed, dialect, (steps, sender) => {
        const capability = signedInDialects(steps, sender);
        expect(verified(capability).caveats).toEqual(
          steps.map(([names]) => ({ t: 'tool_allow', tools: names })),
        );
      }),
      runs(500),
    );
  });

  test('the HMAC is that of the standard library', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 130 }),
        fc.string({ unit: 'grapheme' }),
        (key, text) => {
          const expected = createHmac('sha256', key).update(text).digest('hex');
          expect(Buffer.from(hmacSha256(key, text)).toString('hex')).toBe(expected);
        },
      ),
    );
  });
});

/** A capability as several programs would make it: each signs in its dialect, one sends in its own. */
function signedInDialects(steps: readonly [string[], Dialect][], sender: Dialect): string {
  const claims: Json = {
    v: 4,
    jti: CLAIMS.jti,
    root_jti: CLAIMS.jti,
    iss: CLAIMS.issuer,
    tenant: CLAIMS.tenant,
    zone: CLAIMS.zone,
    sub: CLAIMS.subject,
    iat: CLAIMS.issuedAt,
  };
  let signature = createHmac('sha256', KEY).update(JSON.stringify(claims)).digest();
  const cav = steps.map(([tools]): Json => ({ t: 'tool_allow', tools }));
  for (const [at, [, dialect]] of steps.entries()) {
    signature = createHmac('sha256', signature).update(encodeJson(cav[at]!, dialect)).digest();
  }
  const list = cav.length === 0 ? {} : { cav };
  const sent = { ...claims, ...list, sig: signature.toString('base64url') };
  const separators = sender === 'python' ? PYTHON_DEFAULT : undefined;
  return Buffer.from(encodeJson(sent, sender, separators)).toString('base64url');
}

test('a list of forbidden tools with a malformed pattern forbids everything', () => {
  // In a capability it cannot be read; in a standing grant it stands as it was put.
  const grant = { tenant: 'demo', subject: 'agent-a', issuedAt: 0, notBefore: null };
  const caveats: Caveat[] = [
    { t: 'tool_allow', tools: ['*'] },
    { t: 'tool_deny', tools: ['refund_['] },
  ];
  expect(judgeCaveats({ ...grant, caveats }, CALL)?.code).toBe('capability.tool_forbidden');
});
