// The Python SDK holds to the vectors, and makes the bytes of contracts/capability.ts and of the TypeScript SDK.

import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { attenuate as narrow, mintCapability, verifyCapability } from '#contracts/capability.ts';
import { anyCharacter } from '#test/support/any-character.ts';
import { anyCapabilityText, anyCaveat, CLAIMS } from '#test/support/random-capability.ts';
import { runs, runsTimeout } from '#test/support/runs.ts';
import { hasPython, NO_PYTHON, type PythonSdk, startPythonSdk } from '#test/support/sdk.ts';
import { readVectors } from '#test/support/vectors.ts';
import toolPatterns from '#test/vectors/capabilities/tool-patterns.json' with { type: 'json' };

import { attenuate, inspect } from '../../../sdk/typescript/src/index.ts';

const KEY = new Uint8Array(32).fill(7);
const ROOT = mintCapability({ claims: CLAIMS, caveats: [] }, KEY);
const EXPIRY = { t: 'exp', exp: 1_700_000_060 } as const;

const there = hasPython();
if (!there) console.warn(NO_PYTHON);

describe.skipIf(!there)('the Python SDK', () => {
  let python: PythonSdk;
  beforeAll(() => {
    python = startPythonSdk();
  });
  afterAll(() => python?.close());

  const narrowed = (token: string, narrowing: object) =>
    python.ask({ op: 'attenuate', token, narrowing });
  const inspected = (token: string) => python.ask({ op: 'inspect', token });

  describe('valid vectors', () => {
    const vectors = readVectors<{ capability: string; verified: { links: string[] } }>(
      'capabilities/valid',
    );

    test.each(vectors)('%s says what it says to the other SDK', async (_, { capability }) => {
      const said = inspect(capability);
      expect(await inspected(capability)).toEqual({
        result: {
          id: said.id,
          root_id: said.rootId,
          issuer: said.issuer,
          tenant: said.tenant,
          zone: said.zone,
          agent: said.agent,
          issued_at: said.issuedAt,
          not_before: said.notBefore ?? null,
          expires_at: said.expiresAt ?? null,
          caveats: said.caveats,
          revocation_id: said.revocationId,
        },
      });
    });

    test.each(vectors)('%s is narrowed as contracts do it', async (_, { capability, verified }) => {
      const full = verified.links.length === 65;
      expect(await narrowed(capability, { caveats: [EXPIRY] })).toEqual(
        full
          ? { error: 'MalformedCapability', code: 'capability.malformed', decision: null }
          : { result: narrow(capability, [EXPIRY]) },
      );
    });
  });

  test.each(readVectors<{ capability: string; code: string }>('capabilities/invalid'))(
    'invalid vector %s',
    async (_, { capability, code }) => {
      // Whether the signature is right only the holder of the key can say.
      const readable = code === 'capability.signature';
      expect(await narrowed(capability, {})).toEqual(
        readable
          ? { result: narrow(capability, []) }
          : { error: 'MalformedCapability', code, decision: null },
      );
    },
  );

  test.each(toolPatterns)('the pattern $pattern can be stated: $matches', async (vector) => {
    const { code } = await narrowed(ROOT, { tools: [vector.pattern] });
    expect(code).toBe(vector.matches === 'malformed' ? 'capability.malformed' : undefined);
  });

  test(
    'thousands of random chains are those of contracts and of the other SDK',
    async () => {
      const chains = fc.tuple(
        fc.array(anyCaveat, { maxLength: 4 }),
        fc.array(anyCaveat, { maxLength: 6 }),
      );
      await fc.assert(
        fc.asyncProperty(chains, async ([minted, caveats]) => {
          const root = mintCapability({ claims: CLAIMS, caveats: minted }, KEY);
          const expected = narrow(root, caveats);
          expect(await narrowed(root, { caveats })).toEqual({ result: expected });
          expect(attenuate(root, { caveats })).toBe(expected);
          expect(verifyCapability(expected, [KEY])).toMatchObject({ ok: true });
        }),
        runs(2_000),
      );
    },
    runsTimeout(2_000),
  );

  test(
    'random texts and numbers are written alike',
    async () => {
      const values = fc.oneof(
        fc.string({ unit: anyCharacter, maxLength: 20 }),
        fc.integer(),
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.integer({ min: -1_000_000_000, max: 1_000_000_000 }).map((micros) => micros / 1_000_000),
        fc.boolean(),
      );
      await fc.assert(
        fc.asyncProperty(values, async (equals) => {
          const narrowing = { arguments: [{ path: '/a', equals }] };
          const here = resultOf(() => attenuate(ROOT, narrowing));
          expect((await narrowed(ROOT, narrowing))['result']).toBe(here);
        }),
        runs(1_000),
      );
    },
    runsTimeout(1_000),
  );

  test(
    'any text is a capability for both SDKs or for neither',
    async () => {
      await fc.assert(
        fc.asyncProperty(anyCapabilityText, async (token) => {
          const here = resultOf(() => attenuate(token, {}));
          expect((await narrowed(token, {}))['result']).toBe(here);
        }),
        runs(2_000),
      );
    },
    runsTimeout(2_000),
  );

  test('what can be asked in words makes the same bytes', async () => {
    const shared = {
      tools: ['lookup_*'],
      upstreams: ['shop'],
      task: 'task-1',
      actor: 'agent-b',
      audience: 'countersign',
      sender: { jkt: '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I' },
      expires: 1_700_000_060,
      calls: 3,
      arguments: [{ path: '/currency', one_of: ['EUR', 'CHF'] }],
      amounts: [{ path: '/amount', max: 50, total: 120.5 }],
      caveats: [{ t: 'tenant', tenant: 'demo' } as const],
    };
    const here = attenuate(ROOT, {
      ...shared,
      forbiddenTools: ['delete_*'],
      notBefore: 1_700_000_001,
    });
    expect(
      await narrowed(ROOT, {
        ...shared,
        forbidden_tools: ['delete_*'],
        not_before: 1_700_000_001,
      }),
    ).toEqual({ result: here });
  });
});

function resultOf(make: () => string): string | undefined {
  try {
    return make();
  } catch {
    return undefined;
  }
}
