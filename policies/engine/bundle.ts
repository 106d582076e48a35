/**
 * A compiled policy as one document, named by the SHA-256 of its bytes: sources, data, declared facts and the
 * WASM made from them travel together, so a digest says everything about what was decided.
 */
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';

import { type CompiledFacts, compileFactKeys, FactsDeclaration } from '#contracts/facts.ts';
import { asJson, canonical, type JsonObject } from '#contracts/json.ts';
import { POLICY_ENTRYPOINTS, type PolicyRole } from '#contracts/policy.ts';
import { sha256 } from '#contracts/record.ts';

export const BUNDLE_LIMITS = {
  files: 64,
  /** Path of one file, in characters. */
  path: 128,
  /** All files together. */
  sourceBytes: 512 * 1024,
  /** `data` is for settings; what a call needs to know are facts. Parsed data takes about 16 times its text. */
  dataBytes: 256 * 1024,
  wasmBytes: 4 * 1024 * 1024,
  /** The whole document. */
  bytes: 8 * 1024 * 1024,
} as const;

export const Bundle = Type.Object(
  {
    v: Type.Literal(1),
    role: Type.Union([Type.Literal('tenant'), Type.Literal('floor')]),
    files: Type.Record(Type.String(), Type.String()),
    data: Type.Unsafe<JsonObject>({ type: 'object' }),
    facts: FactsDeclaration,
    /** Version of the compiler. */
    opa: Type.String({ minLength: 1, maxLength: 32 }),
    entrypoint: Type.String({ minLength: 1, maxLength: 128 }),
    /** Base64. */
    wasm: Type.String({ minLength: 8 }),
  },
  { additionalProperties: false },
);
export type Bundle = Static<typeof Bundle>;

/** A bundle with its name and its bytes. */
export interface NamedBundle {
  readonly digest: string;
  readonly bytes: Uint8Array;
  readonly bundle: Bundle;
}

/** Bytes that are not a bundle, or not the one that was asked for. */
export class PolicyBundleError extends Error {
  override readonly name = 'PolicyBundleError';
  readonly code: 'malformed' | 'wrong_digest' | 'wrong_role' | 'unusable';

  constructor(code: PolicyBundleError['code'], message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

const check = Compile(Bundle);

/** Canonical bytes of a bundle and `sha256:<hex>` over them. */
export function nameBundle(bundle: Bundle): NamedBundle {
  const bytes = new TextEncoder().encode(canonical(asJson(bundle)));
  if (bytes.length > BUNDLE_LIMITS.bytes) {
    throw new PolicyBundleError('malformed', `a bundle has at most ${BUNDLE_LIMITS.bytes} bytes`);
  }
  return { digest: sha256(bytes), bytes, bundle };
}

/** The bundle in stored bytes. They MUST have the digest and the role that they were asked by. @throws PolicyBundleError */
export function openBundle(bytes: Uint8Array, digest: string, role: PolicyRole): NamedBundle {
  if (bytes.length > BUNDLE_LIMITS.bytes) throw new PolicyBundleError('malformed', 'too large');
  if (sha256(bytes) !== digest) {
    throw new PolicyBundleError('wrong_digest', `these bytes are not ${digest}`);
  }
  const bundle = parse(bytes);
  if (!check.Check(bundle)) throw new PolicyBundleError('malformed', 'not a bundle of version 1');
  if (bundle.role !== role || bundle.entrypoint !== POLICY_ENTRYPOINTS[role]) {
    throw new PolicyBundleError('wrong_role', `not a ${role} policy`);
  }
  return { digest, bytes, bundle };
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new PolicyBundleError('malformed', 'not JSON', cause);
  }
}

/** The declared facts, ready for `factKeys`. @throws PolicyBundleError */
export function bundleFacts({ facts }: Bundle): CompiledFacts {
  try {
    return compileFactKeys(facts);
  } catch (cause) {
    throw new PolicyBundleError('malformed', 'the declared facts are malformed', cause);
  }
}
