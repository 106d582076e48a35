/**
 * State that people and systems change: events on CONTROL, and the values that the projector derives from them for
 * the bucket `control`, which every worker watches. Every value carries the revision of the event that made it.
 */
import { Type, type Static } from 'typebox';

import { ToolName, UpstreamName } from './call.ts';
import { TenantIdSchema, tokenOf } from './ids.ts';
import type { RevocationKind, SwitchScope } from './stop.ts';
import type { ControlKind } from './subjects.ts';

const text = (max: number) => Type.String({ maxLength: max });
const name = (max: number) => Type.String({ minLength: 1, maxLength: max });

/** Name of a thing in a path or key: letters, digits, '-', '_' and '.', at most 128. */
export const ThingId = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._@:-]{0,127}$' });

export const Digest = Type.String({ pattern: '^sha256:[0-9a-f]{64}$' });

/** An agent's id as its issuer writes it: a name, a client id, a SPIFFE id. No control characters. */
export const AgentId = Type.String({ pattern: '^[^\\u0000-\\u001f\\u007f]{1,256}$' });

/** Settings of a tenant. A tenant exists once anything of it was put; these are its defaults. */
export const TenantSettings = Type.Object(
  {
    intent: Type.Optional(
      Type.Object(
        {
          required: Type.Optional(
            Type.Boolean({ description: 'Refuse calls without a declared purpose.' }),
          ),
          self_declared: Type.Optional(
            Type.Boolean({
              description: 'Accept a purpose that the agent sends itself. Default true.',
            }),
          ),
        },
        { additionalProperties: false },
      ),
    ),
    time_zone: Type.Optional(name(64)),
    calls_per_second: Type.Optional(Type.Integer({ minimum: 1 })),
    agent_calls_per_second: Type.Optional(Type.Integer({ minimum: 1 })),
  },
  { additionalProperties: false },
);
export type TenantSettings = Static<typeof TenantSettings>;

/** Signatures of identities: only by public keys; `none` and shared secrets never. */
export const IDENTITY_ALGORITHMS: readonly string[] = [
  'EdDSA',
  'Ed25519',
  'ES256',
  'ES384',
  'ES512',
  'PS256',
  'PS384',
  'PS512',
  'RS256',
  'RS384',
  'RS512',
];

/** A registered token issuer. Exactly one of jwks and jwks_uri. */
export const Issuer = Type.Object(
  {
    issuer: name(512),
    kind: Type.Optional(
      Type.Union([Type.Literal('jwt'), Type.Literal('jwt-svid')], {
        description:
          "jwt-svid: `issuer` is a SPIFFE trust domain (spiffe://acme.example), the keys are its trust bundle, and every workload of it is this tenant's unless claims.tenant says otherwise. Default jwt.",
      }),
    ),
    jwks: Type.Optional(
      Type.Object({
        keys: Type.Array(Type.Record(Type.String(), Type.Unknown()), { minItems: 1, maxItems: 64 }),
      }),
    ),
    jwks_uri: Type.Optional(name(2_048)),
    audiences: Type.Array(name(512), { minItems: 1, maxItems: 32 }),
    /** Claim names. Without `agent` the agent is the outermost `act.sub`, or `sub` when there is no `act`. */
    claims: Type.Optional(
      Type.Object(
        {
          tenant: Type.Optional(name(128)),
          agent: Type.Optional(name(128)),
          person: Type.Optional(name(128)),
          workflow: Type.Optional(name(128)),
          session: Type.Optional(name(128)),
          task: Type.Optional(name(128)),
          purpose: Type.Optional(name(128)),
        },
        { additionalProperties: false },
      ),
    ),
    /** Value that the tenant claim must have; default: the tenant's own name. */
    tenant_value: Type.Optional(name(256)),
    algorithms: Type.Optional(Type.Array(Type.String(), { minItems: 1, maxItems: 16 })),
  },
  { additionalProperties: false },
);
export type Issuer = Static<typeof Issuer>;

/** Standing grant of an agent that sends no capability: the same limits, kept here instead of in a token. */
export const StandingGrant = Type.Object(
  {
    tools: Type.Array(name(128), { minItems: 1, maxItems: 256 }),
    forbidden_tools: Type.Optional(Type.Array(name(128), { maxItems: 256 })),
    upstreams: Type.Optional(Type.Array(UpstreamName, { maxItems: 64 })),
    expires_at: Type.Optional(Type.Integer({ description: 'Unix seconds' })),
  },
  { additionalProperties: false },
);
export type StandingGrant = Static<typeof StandingGrant>;

/** A registered agent. */
export const Agent = Type.Object(
  {
    class: Type.Optional(name(64)),
    owner: Type.Optional(name(256)),
    /** Id of the registered issuer whose tokens this agent uses; without it any issuer of the tenant. */
    issuer: Type.Optional(ThingId),
    grant: Type.Optional(StandingGrant),
    /** May name another subject in AuthZEN requests. */
    enforcement_point: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
);
export type Agent = Static<typeof Agent>;

/** Where calls go. The credential is a reference that only the ingress reads, never a value. */
export const Upstream = Type.Object(
  {
    url: name(2_048),
    /** mcp: Streamable HTTP tool server behind /mcp/{upstream}. none: decisions only. */
    kind: Type.Optional(Type.Union([Type.Literal('mcp'), Type.Literal('none')])),
    credential: Type.Optional(
      Type.Object(
        {
          header: Type.Optional(name(128)),
          scheme: Type.Optional(text(32)),
          file: Type.Optional(name(1_024)),
          env: Type.Optional(name(128)),
        },
        { additionalProperties: false },
      ),
    ),
    timeout_ms: Type.Optional(Type.Integer({ minimum: 100, maximum: 600_000 })),
    receipts: Type.Optional(
      Type.Boolean({
        description:
          'Send a receipt with each forwarded call, by which the server can check it. Default true.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type Upstream = Static<typeof Upstream>;

/** A tool in the catalogue. Unknown tools are not callable. */
export const Tool = Type.Object(
  {
    name: ToolName,
    /** Empty = a tool without an upstream (decisions only). */
    upstream: Type.Optional(UpstreamName),
    description: Type.Optional(text(8_000)),
    input_schema: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
    class: Type.Optional(name(64)),
    labels: Type.Optional(Type.Array(name(64), { maxItems: 32 })),
    /** Digest of the definition as the upstream shows it; a changed definition is another tool. */
    definition_hash: Type.Optional(Type.String({ pattern: '^sha256:[0-9a-f]{64}$' })),
  },
  { additionalProperties: false },
);
export type Tool = Static<typeof Tool>;

/** The policy that a tenant runs. `_platform` runs the floor. */
export const ActivePolicy = Type.Object(
  {
    digest: Digest,
    name: Type.Optional(text(128)),
    /** What ran before it: where a rollback goes. */
    previous: Type.Optional(Digest),
  },
  { additionalProperties: false },
);
export type ActivePolicy = Static<typeof ActivePolicy>;

/** A policy that was put for a tenant and may be activated. Its bundle is in the object store under the digest. */
export const StoredPolicy = Type.Object(
  {
    name: text(128),
    role: Type.Union([Type.Literal('tenant'), Type.Literal('floor')]),
    files: Type.Integer({ minimum: 1 }),
    by: name(128),
  },
  { additionalProperties: false },
);
export type StoredPolicy = Static<typeof StoredPolicy>;

/** A root that was minted here: how a worker knows it from one that a key holder made up. */
export const MintedRoot = Type.Object({
  /** Hex SHA-256 of the signature of the root as minted, with all caveats it was minted with. */
  signature_hash: Type.String(),
  caveats: Type.Integer(),
  agent: Type.String(),
  expires_at: Type.Integer({ description: 'Unix seconds; 0 = none' }),
});
export type MintedRoot = Static<typeof MintedRoot>;

export const Role = Type.Union([
  Type.Literal('viewer'),
  Type.Literal('approver'),
  Type.Literal('operator'),
  Type.Literal('admin'),
]);
export type Role = Static<typeof Role>;

/** A person who operates the platform. `tenants` empty = all tenants. */
export const Operator = Type.Object(
  {
    id: ThingId,
    name: name(128),
    roles: Type.Array(Role, { minItems: 1 }),
    /** Absent = no token: only the pages, with password and code. */
    token_hash: Type.Optional(Type.String({ pattern: '^sha256:[0-9a-f]{64}$' })),
    /** True = may do nothing, by token or otherwise. */
    disabled: Type.Optional(Type.Boolean()),
    tenants: Type.Optional(Type.Array(TenantIdSchema)),
    /** Who they are to registered issuers (by id) of agents' identities: whoever asked for a call cannot approve it. */
    identities: Type.Optional(
      Type.Array(
        Type.Object({ issuer: name(512), subject: name(256) }, { additionalProperties: false }),
        {
          maxItems: 16,
        },
      ),
    ),
  },
  { additionalProperties: false },
);
export type Operator = Static<typeof Operator>;

/** One change of facts. put replaces, patch merges (RFC 7396), delete removes. */
export const FactChange = Type.Union([
  Type.Object({ op: Type.Literal('put'), key: Type.String(), value: Type.Unknown() }),
  Type.Object({ op: Type.Literal('patch'), key: Type.String(), value: Type.Unknown() }),
  Type.Object({ op: Type.Literal('delete'), key: Type.String() }),
]);
export type FactChange = Static<typeof FactChange>;

export const FACT_BYTES_MAX = 256 * 1024;
/** A fact key: '/'-separated segments of letters, digits, '-', '_', '=' (see the segment encoding of policy.ts). */
export const FACT_KEY_PATTERN = '^[A-Za-z0-9_=-]+(/[A-Za-z0-9_=-]+){0,15}$';

/** The leaf of a control event; properties in ascending order. `value` is in the payload. */
export const ControlLeaf = Type.Object(
  {
    action: Type.String(),
    at: Type.Integer(),
    /** Pseudonymous nowhere: operators act by name. `system:<process>` for the platform itself. */
    by: Type.String(),
    commitments: Type.Record(Type.String(), Type.String()),
    id: Type.String(),
    kind: Type.Unsafe<`control.${ControlKind}`>({ type: 'string', pattern: '^control\\.[a-z]+$' }),
    reason: text(1_000),
    target: text(512),
    tenant: Type.String(),
    v: Type.Literal(1),
  },
  { additionalProperties: false },
);
export type ControlLeaf = Static<typeof ControlLeaf>;

/** What stands under a key of bucket `control`. A deleted thing keeps its key with value null. */
export interface ControlEntry<T = unknown> {
  /** Sequence of the CONTROL event that made it. */
  readonly sequence: number;
  /** Milliseconds UTC of that event. */
  readonly at: number;
  readonly value: T | null;
}

/** Keys of bucket `control`; one function for writers and readers. Free names are hashed or encoded by the caller. */
export const CONTROL_KEYS = {
  tenant: (tenant: string) => `tenant.${tenant}`,
  issuer: (tenant: string, id: string) => `issuer.${tenant}.${encodeKey(id)}`,
  agent: (tenant: string, id: string) => `agent.${tenant}.${encodeKey(id)}`,
  upstream: (tenant: string, id: string) => `upstream.${tenant}.${id}`,
  tool: (tenant: string, upstream: string, tool: string) =>
    `catalog.${tenant}.${upstream === '' ? '=' : upstream}.${encodeKey(tool)}`,
  policy: (tenant: string) => `policy.${tenant}`,
  bundle: (tenant: string, digest: string) => `bundle.${tenant}.${digest.slice(7)}`,
  fact: (tenant: string, key: string) => `fact.${tenant}.${key}`,
  source: (tenant: string, id: string) => `source.${tenant}.${encodeKey(id)}`,
  /** How recent the word of a source is (fact-source.ts). */
  sourceTime: (tenant: string, id: string) => `asof.${tenant}.${encodeKey(id)}`,
  budgets: (tenant: string) => `budget.${tenant}`,
  routes: (tenant: string) => `routes.${tenant}`,
  compat: (tenant: string) => `compat.${tenant}`,
  redaction: (tenant: string) => `redaction.${tenant}`,
  operator: (id: string) => `operator.${encodeKey(id)}`,
  /** Ids of persons are among them, so the key has only a hash. */
  revocation: (tenant: string, kind: RevocationKind, id: string) =>
    `revocation.${tenant}.${kind}.${tokenOf(id)}`,
  switch: (tenant: string, scope: SwitchScope, id: string) =>
    `switch.${tenant}.${scope}.${tokenOf(id)}`,
  /** The newest drill of the kill switch (drill.ts). */
  drill: 'drill',
  mode: (tenant: string, agentClass: string) => `mode.${tenant}.${encodeKey(agentClass)}`,
  exception: (tenant: string, id: string) => `exception.${tenant}.${encodeKey(id)}`,
  /** A policy that a watchdog had to stop: refused by every worker from then on. */
  runaway: (tenant: string, digest: string) => `runaway.${tenant}.${digest.slice(7)}`,
  beat: (worker: string) => `beat.${worker}`,
  /** A public key that receipts are signed with (receipt-key.ts), written by its worker. */
  signer: (key: string) => `signer.${key}`,
  /** Written last for each event: its sequence is the revision that has been reached. */
  head: 'head',
} as const;

/** Key of bucket `keyed`: a minted root. */
export const mintedKey = (tenant: string, rootJti: string) =>
  `minted.${tenant}.${encodeKey(rootJti)}`;

/** Text as one token of a bucket key: everything but letters, digits, '-' and '_' becomes `=XX` of its UTF-8 bytes. */
export function encodeKey(plain: string): string {
  return plain.replace(/[^A-Za-z0-9_-]/gu, (character) =>
    [...new TextEncoder().encode(character)]
      .map((byte) => `=${byte.toString(16).toUpperCase().padStart(2, '0')}`)
      .join(''),
  );
}

/** The text of a token made by encodeKey. */
export function decodeKey(token: string): string {
  return decodeURIComponent(token.replaceAll('=', '%'));
}
