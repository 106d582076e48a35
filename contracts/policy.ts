/**
 * What a policy is asked and what it may answer. The input's schema types every policy at its check
 * (`opa check --schema`), the output's schema decides whether an answer counts: anything else is a block.
 */
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';

import { Verdict } from './call.ts';
import type { Json } from './json.ts';

/** Rule that a tenant's policy defines, and rule of the floor that tenants cannot lift. */
export const POLICY_ENTRYPOINTS = {
  tenant: 'countersign/policy/decision',
  floor: 'countersign/floor/decision',
} as const;
export type PolicyRole = keyof typeof POLICY_ENTRYPOINTS;

/** Arguments, facts and envelope of one input together; more is refused before policy. Leaves a record room for the rest. */
export const POLICY_INPUT_BYTES_MAX = 704 * 1024;

const text = (max: number, description: string) => Type.String({ maxLength: max, description });
const names = (description: string) =>
  Type.Array(Type.String({ maxLength: 128 }), { maxItems: 256, description });
const seconds = (description: string) => Type.Integer({ minimum: 0, description });
const closed = { additionalProperties: false } as const;

/** An object whose members nobody knows beforehand. */
const open = (description: string) =>
  Type.Unsafe<Record<string, Json>>({ type: 'object', additionalProperties: true, description });

const oneOf = <const Values extends readonly string[]>(values: Values, description: string) =>
  Type.Unsafe<Values[number]>({ type: 'string', enum: [...values], description });

const Call = Type.Object(
  {
    tool: text(128, 'Name of the tool.'),
    arguments: open('Arguments as the agent sent them, canonical.'),
    upstream: text(63, 'Tool server, "" for a tool that none serves.'),
    schema: oneOf(
      ['valid', 'none'],
      'valid: the arguments fit the registered schema of the tool. none: it has no schema.',
    ),
  },
  closed,
);

const Principal = Type.Object(
  {
    tenant: text(63, 'Tenant that the verified issuer names.'),
    agent: text(256, 'Verified id of the agent that calls.'),
    agent_class: text(64, 'Class that the agent is registered with, "" when it is not.'),
    on_behalf_of: text(256, 'Verified person, "" when the agent acts for nobody.'),
    workflow: text(256, 'Workflow of the identity, "" for none.'),
    actors: Type.Array(Type.String({ maxLength: 256 }), {
      maxItems: 32,
      description: 'Delegation chain, outermost actor first: the caller, then who delegated to it.',
    }),
  },
  closed,
);

const Capability = Type.Object(
  {
    id: text(128, 'Id of the capability, "" when the call has none.'),
    root_id: text(128, 'Id of the capability that this one was narrowed from.'),
    subject: text(256, 'Agent that the capability was issued to.'),
    issued_at: seconds('Unix seconds, 0 without a capability.'),
    expires_at: seconds('Unix seconds, 0 when it does not expire.'),
    caveats: Type.Array(open('One restriction: its `type` and what it says.'), {
      maxItems: 64,
      description: 'Restrictions in the order of the chain; all of them hold.',
    }),
  },
  closed,
);

const Intent = Type.Object(
  {
    task: text(128, 'Id of the task, "" for none.'),
    purpose: text(2_000, 'Declared purpose, "" for none.'),
    allowed_tools: names('Tools that the purpose allows, [] when it says nothing.'),
    forbidden_tools: names('Tools that the purpose forbids.'),
    declared_by: text(
      64,
      'Who declared it: "agent" with the call, "issuer" in the identity, "" for nobody.',
    ),
  },
  closed,
);

/** Everything a policy may know of a call. No field is ever absent or null: what is not known is empty. */
export const PolicyInput = Type.Object(
  {
    call: Call,
    principal: Principal,
    capability: Capability,
    intent: Intent,
    facts: open('The facts that the bundle declares, by alias.'),
    facts_revision: text(64, 'Opaque position of the feed that the facts come from.'),
    session: Type.Object(
      {
        id: text(256, 'Session of the agent, "" for none. Never authority.'),
        calls: Type.Array(open('An earlier call of this session.'), {
          description: 'Empty for now.',
        }),
      },
      closed,
    ),
    time: Type.Object(
      {
        unix: seconds('Recorded time of the decision in seconds.'),
        unix_ms: seconds('The same in milliseconds.'),
      },
      closed,
    ),
    mode: oneOf(['observe', 'soft-block', 'enforce'], 'Rollout mode that the agent is in.'),
  },
  { ...closed, description: 'Input of a Countersign policy' },
);
export type PolicyInput = Static<typeof PolicyInput>;

const JSON_POINTER = '^(/([^~/]|~[01])*)+$';

/** What the enforcement point must do with an allowed call. An unknown type refuses the call. */
export const Obligation = Type.Union([
  Type.Object(
    {
      type: Type.Literal('redact'),
      paths: Type.Array(Type.String({ pattern: JSON_POINTER, maxLength: 256 }), {
        minItems: 1,
        maxItems: 32,
        description: 'JSON pointers (RFC 6901) into the structured result of the tool.',
      }),
    },
    closed,
  ),
  Type.Object(
    {
      type: Type.Literal('tag'),
      name: Type.String({ pattern: '^[a-z][a-z0-9_.-]{0,63}$' }),
      value: Type.String({ maxLength: 256 }),
    },
    { ...closed, description: 'Recorded with the outcome and told to the caller.' },
  ),
]);
export type Obligation = Static<typeof Obligation>;

/** What people are asked when a call is held. What is left out is the tenant's default. */
export const ApprovalRequest = Type.Object(
  {
    risk: Type.Optional(oneOf(['low', 'medium', 'high', 'critical'], 'How much care it takes.')),
    route: Type.Optional(Type.String({ pattern: '^[a-z][a-z0-9_-]{0,63}$' })),
    quorum: Type.Optional(Type.Integer({ minimum: 1, maximum: 10 })),
    ttl: Type.Optional(Type.Integer({ minimum: 30, maximum: 604_800, description: 'Seconds.' })),
    effect: Type.Optional(Type.String({ minLength: 1, maxLength: 1_000 })),
  },
  closed,
);
export type ApprovalRequest = Static<typeof ApprovalRequest>;

/** The only answer of a policy that counts. */
export const PolicyOutput = Type.Object(
  {
    verdict: Verdict,
    reason: Type.Optional(
      Type.String({
        pattern: '^[a-z][a-z0-9_.-]{0,63}$',
        description: "The author's code; travels as policy_reason.",
      }),
    ),
    message: Type.Optional(text(1_000, 'For the caller: what would be allowed instead.')),
    obligations: Type.Optional(Type.Array(Obligation, { maxItems: 16 })),
    labels: Type.Optional(
      Type.Array(Type.String({ pattern: '^[a-z][a-z0-9_.:-]{0,63}$' }), {
        maxItems: 16,
        description: 'Recorded with the decision.',
      }),
    ),
    cost: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 1e15,
        description: 'Micro-units that the call draws from cost budgets.',
      }),
    ),
    approval: Type.Optional(ApprovalRequest),
  },
  closed,
);
export type PolicyOutput = Static<typeof PolicyOutput>;

const inputCheck = Compile(PolicyInput);
const outputCheck = Compile(PolicyOutput);

export type ParsedPolicyOutput =
  | { readonly ok: true; readonly output: PolicyOutput }
  | { readonly ok: false; readonly detail: string };

/**
 * The answer of a policy, or why it does not count. `detail` names place and rule, never a value.
 * An `approval` beside any verdict but escalate is refused too: its author meant one of the two.
 */
export function parsePolicyOutput(value: unknown): ParsedPolicyOutput {
  if (!outputCheck.Check(value)) return { ok: false, detail: firstFault(outputCheck, value) };
  if (value.approval !== undefined && value.verdict !== 'escalate') {
    return { ok: false, detail: `/approval: only "escalate" asks for one, not "${value.verdict}"` };
  }
  return { ok: true, output: value };
}

/** What keeps a value from being a policy input, or undefined when it is one. */
export function policyInputFault(value: unknown): string | undefined {
  return inputCheck.Check(value) ? undefined : firstFault(inputCheck, value);
}

interface Faults {
  Errors(value: unknown): readonly { instancePath: string; message: string; keyword: string }[];
}

function firstFault(check: Faults, value: unknown): string {
  const faults = check.Errors(value);
  // "schema is false" only says that a member is not allowed; the member's name is in the path.
  const fault = faults.find(({ keyword }) => keyword !== 'boolean') ?? faults[0];
  const unknown = faults.find(({ keyword }) => keyword === 'boolean');
  const path = unknown?.instancePath ?? fault?.instancePath ?? '';
  const message = unknown === undefined ? (fault?.message ?? 'wrong shape') : 'unknown member';
  return `${path === '' ? '/' : path}: ${message}`;
}

/**
 * The input as JSON Schema 2020-12, for `opa check --schema` and the documentation.
 * @param facts schema of each declared fact by alias; without it facts are any object
 */
export function policyInputJsonSchema(facts?: Readonly<Record<string, object>>): object {
  const properties =
    facts === undefined
      ? PolicyInput.properties
      : {
          ...PolicyInput.properties,
          facts: {
            type: 'object',
            properties: facts,
            required: Object.keys(facts),
            additionalProperties: false,
          },
        };
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: 'urn:countersign:schema:policy-input',
    title: 'PolicyInput',
    ...PolicyInput,
    properties,
  };
}
