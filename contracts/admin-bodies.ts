/** Shapes of requests and answers of the admin API that are not those of the things themselves (control.ts). */
import { Type, type Static, type TSchema } from 'typebox';

import { ToolName, UpstreamName } from './call.ts';
import { Digest, StoredPolicy, ThingId, Tool } from './control.ts';
import { FactSource } from './fact-source.ts';
import { FactsDeclaration } from './facts.ts';
import { RevisionSchema } from './ids.ts';
import type { Json } from './json.ts';

const closed = { additionalProperties: false } as const;
const text = (max: number) => Type.String({ maxLength: max });
const name = (max: number) => Type.String({ minLength: 1, maxLength: max });
const names = (max: number) => Type.Array(name(max), { minItems: 1, maxItems: 256 });
export const AnyJson = Type.Unsafe<Json>({});

/** How every change is answered. */
export const Changed = Type.Object({
  revision: Type.Unsafe<Static<typeof RevisionSchema>>({
    ...RevisionSchema,
    description: 'Opaque. A call that names it as min_revision is judged knowing this change.',
  }),
  visible: Type.Boolean({
    description: 'True once the state that workers watch has it; false = recorded, on its way.',
  }),
});
export type Changed = Static<typeof Changed>;

export const item = <T extends TSchema>(value: T) =>
  Type.Object({
    id: Type.String(),
    revision: Type.String(),
    changed_at: Type.String({ description: 'RFC 3339' }),
    value,
  });
export const list = <T extends TSchema>(value: T) =>
  Type.Object({ revision: RevisionSchema, items: Type.Array(item(value)) });

/** A password as an admin sets it. */
export const PasswordRequest = Type.Object({ password: text(256) }, closed);

/** The secret of one-time codes as an admin sets it. */
export const CodesRequest = Type.Object(
  {
    secret: Type.Optional(
      Type.String({ maxLength: 256, description: 'Base32. Default: a new one of 20 bytes.' }),
    ),
  },
  closed,
);

/** How it is answered that a person's one-time codes were set. */
export const CodesAnswer = Type.Object({
  ...Changed.properties,
  secret: Type.String({ description: 'Base32, for an authenticator app. Not shown again.' }),
  uri: Type.String({ description: 'The same as an otpauth address, for a QR code.' }),
});

/** Longest life of a capability: as long as its counters are kept. */
export const CAPABILITY_SECONDS_MAX = 31 * 24 * 3_600;
const CAPABILITY_SECONDS_DEFAULT = 3_600;

const Scalar = Type.Union([text(1_024), Type.Number(), Type.Boolean()]);
const Thumbprint = Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' });
const Pointer = Type.String({ pattern: '^(/([^~/]|~[01])*)+$', maxLength: 1_024 });

/** What a capability shall allow. Everything left out is not limited by it. */
export const MintRequest = Type.Object(
  {
    agent: name(256),
    tools: Type.Optional(names(1_024)),
    forbidden_tools: Type.Optional(names(1_024)),
    upstreams: Type.Optional(Type.Array(UpstreamName, { minItems: 1, maxItems: 64 })),
    calls: Type.Optional(Type.Integer({ minimum: 1 })),
    expires_in_s: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: CAPABILITY_SECONDS_MAX,
        default: CAPABILITY_SECONDS_DEFAULT,
      }),
    ),
    not_before: Type.Optional(Type.Integer({ minimum: 1, description: 'Unix seconds' })),
    task: Type.Optional(name(128)),
    actor: Type.Optional(name(256)),
    audience: Type.Optional(name(512)),
    sender: Type.Optional(
      Type.Object(
        {
          jkt: Type.Optional(Thumbprint),
          'x5t#S256': Type.Optional(Thumbprint),
        },
        {
          ...closed,
          description:
            'The one key that a caller must prove to hold: of its DPoP proofs (jkt) or of its TLS certificate.',
        },
      ),
    ),
    arguments: Type.Optional(
      Type.Array(
        Type.Object(
          {
            path: Pointer,
            equals: Type.Optional(Scalar),
            one_of: Type.Optional(Type.Array(Scalar, { minItems: 1, maxItems: 256 })),
            prefix: Type.Optional(name(1_024)),
            min: Type.Optional(Type.Number()),
            max: Type.Optional(Type.Number()),
          },
          { ...closed, description: 'One condition on the argument at this JSON pointer.' },
        ),
        { maxItems: 32 },
      ),
    ),
    amounts: Type.Optional(
      Type.Array(
        Type.Object(
          {
            path: Pointer,
            max: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
            total: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
          },
          {
            ...closed,
            description:
              'An amount of 0 or more: at most `max` in each call, at most `total` in all calls together.',
          },
        ),
        { maxItems: 8 },
      ),
    ),
  },
  closed,
);
export type MintRequest = Static<typeof MintRequest>;
export const mintSeconds = ({ expires_in_s }: MintRequest): number =>
  expires_in_s ?? CAPABILITY_SECONDS_DEFAULT;

export const MintAnswer = Type.Object({
  ...Changed.properties,
  id: Type.String({ description: 'Names it in records and in a revocation.' }),
  capability: Type.String({ description: 'The token. It is shown once and stored nowhere.' }),
  agent: Type.String(),
  expires_at: Type.String({ description: 'RFC 3339' }),
});
export type MintAnswer = Static<typeof MintAnswer>;

export const SwitchAnswer = Type.Object({
  ...Changed.properties,
  engaged: Type.Boolean({ description: 'False once it is released, as far as the state has it.' }),
});

export const ToolsRequest = Type.Object(
  {
    tools: Type.Array(Tool, { maxItems: 1_000 }),
    removed: Type.Optional(
      Type.Array(Type.Object({ name: ToolName, upstream: Type.Optional(UpstreamName) }, closed), {
        maxItems: 1_000,
        description: 'Taken out of the catalogue in the same change.',
      }),
    ),
  },
  closed,
);

export const PolicyRequest = Type.Object(
  {
    files: Type.Record(Type.String(), Type.String(), {
      description: 'Texts by path: .rego modules and tests (*_test.rego), data.json, facts.json.',
    }),
    facts: Type.Optional(
      Type.Unsafe<FactsDeclaration>({
        ...FactsDeclaration,
        description: 'Facts that the policy needs, unless facts.json says it.',
      }),
    ),
    name: Type.Optional(text(128)),
  },
  closed,
);

/** One thing about a policy that its author should know; `error` keeps it from being accepted. */
export const PolicyFinding = Type.Object({
  severity: Type.Union([Type.Literal('error'), Type.Literal('warning')]),
  file: Type.String({ description: 'Path, "" when it is about the whole.' }),
  line: Type.Integer({ description: 'From 1; 0 without a place.' }),
  column: Type.Integer(),
  code: Type.String(),
  message: Type.String(),
});
export type PolicyFinding = Static<typeof PolicyFinding>;

/** What the tests beside a policy said. */
export const PolicyTests = Type.Object({
  passed: Type.Integer(),
  failed: Type.Integer(),
  skipped: Type.Integer(),
  coverage: Type.Number({ description: 'Covered lines in percent, 0 without tests.' }),
  not_covered: Type.Array(Type.Object({ file: Type.String(), lines: Type.Array(Type.Integer()) })),
});
export type PolicyTests = Static<typeof PolicyTests>;

export const PolicyAnswer = Type.Object({
  ...Changed.properties,
  digest: Digest,
  role: StoredPolicy.properties.role,
  findings: Type.Array(PolicyFinding),
  tests: PolicyTests,
});
export type PolicyAnswer = Static<typeof PolicyAnswer>;

const FactChangeRequest = Type.Object(
  {
    op: Type.Union([Type.Literal('put'), Type.Literal('patch'), Type.Literal('delete')]),
    key: name(1_024),
    value: Type.Optional(AnyJson),
  },
  closed,
);

export const FactsRequest = Type.Object(
  {
    changes: Type.Array(FactChangeRequest, { maxItems: 1_000 }),
    source: Type.Optional(ThingId),
    as_of: Type.Optional(
      Type.String({
        maxLength: 40,
        description:
          'RFC 3339; with `source`: everything that it knew at that time is told. Default now. No changes = it is alive.',
      }),
    ),
  },
  closed,
);
export type FactsRequest = Static<typeof FactsRequest>;

/** A source as it is shown. `as_of` null = it never spoke, so what it feeds is stale. */
export const FactSourceShown = Type.Object({
  ...FactSource.properties,
  as_of: Type.Union([Type.String(), Type.Null()]),
});
export type FactSourceShown = Static<typeof FactSourceShown>;
