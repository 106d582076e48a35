/**
 * The caveats a capability can carry, as they stand in it: a closed union on `t`, read strictly.
 * The first eleven are IntentGate's v4 caveats; the rest are ours. docs/capability.md describes each.
 */
import { MalformedCapability } from '#contracts/capability/malformed.ts';
import {
  isAmount,
  isCount,
  isDecimal,
  isName,
  isNames,
  isPointer,
  isScalar,
  isScalars,
  isSeconds,
  isThumbprint,
  isTools,
} from '#contracts/capability/values.ts';
import type { Json, JsonObject } from '#contracts/json.ts';

/** A value that an argument can be compared with. */
export type Scalar = string | number | boolean;

export type Caveat =
  | { t: 'agent_lock'; agent: string }
  | { t: 'exp'; exp: number }
  | { t: 'tool_allow'; tools: string[] }
  | { t: 'tool_deny'; tools: string[] }
  | { t: 'mcp_allow'; servers: string[] }
  | { t: 'max_calls'; max_calls: number }
  | { t: 'step_up'; step_up_at: number }
  | { t: 'callee_allow'; callees?: string[]; callee_zones?: string[] }
  | { t: 'risk_max'; risk_max: number }
  | { t: 'rate_limit'; rate_per_min: number }
  | { t: 'max_cost'; max_cents: number }
  | { t: 'nbf'; nbf: number }
  | { t: 'upstream'; upstreams: string[] }
  | { t: 'tenant'; tenant: string }
  | { t: 'task'; task: string }
  | { t: 'actor'; agent: string }
  | { t: 'audience'; audience: string }
  | ({ t: 'args'; path: string } & ArgumentCondition)
  | { t: 'amount'; path: string; max?: number; total?: number }
  | ({ t: 'sender' } & SenderKey);

/** The key that the sender must prove to hold: of a DPoP proof (RFC 9449) or of its TLS certificate (RFC 8705). */
export type SenderKey = { jkt: string } | { 'x5t#S256': string };

/** Exactly one condition on the argument at `path`; `min` and `max` (inclusive) are one. */
export type ArgumentCondition =
  | { equals: Scalar }
  | { one_of: Scalar[] }
  | { prefix: string }
  | { min: number; max?: number }
  | { min?: number; max: number };

export type CaveatType = Caveat['t'];

/** Members by caveat; a question mark stands after an optional one. */
const SHAPES: Readonly<Record<CaveatType, readonly string[]>> = {
  agent_lock: ['agent'],
  exp: ['exp'],
  tool_allow: ['tools'],
  tool_deny: ['tools'],
  mcp_allow: ['servers'],
  max_calls: ['max_calls'],
  step_up: ['step_up_at'],
  callee_allow: ['callees?', 'callee_zones?'],
  risk_max: ['risk_max'],
  rate_limit: ['rate_per_min'],
  max_cost: ['max_cents'],
  nbf: ['nbf'],
  upstream: ['upstreams'],
  tenant: ['tenant'],
  task: ['task'],
  actor: ['agent'],
  audience: ['audience'],
  args: ['path', 'equals?', 'one_of?', 'prefix?', 'min?', 'max?'],
  amount: ['path', 'max?', 'total?'],
  sender: ['jkt?', 'x5t#S256?'],
};

const count = [isCount, 'a whole number of at least 1 (0 would mean no limit at all)'] as const;
const name = [isName, 'a text of 1 to 1024 bytes'] as const;
const names = [isNames, 'a list of 1 to 256 texts of 1 to 1024 bytes'] as const;
const number = [isDecimal, 'a number within 2^53-1 with at most six decimals'] as const;
const seconds = [isSeconds, 'a time in whole unix seconds after 1970'] as const;

/** Every member in the order in which the signed bytes hold it, and what its value must be. */
const MEMBERS: Readonly<Record<string, readonly [(value: Json) => boolean, string]>> = {
  tools: [isTools, 'a list of 1 to 256 tool names or well-formed patterns'],
  agent: name,
  exp: seconds,
  max_calls: count,
  step_up_at: seconds,
  callees: names,
  callee_zones: names,
  servers: names,
  rate_per_min: count,
  max_cents: count,
  risk_max: count,
  nbf: seconds,
  upstreams: names,
  tenant: name,
  task: name,
  audience: name,
  path: [isPointer, 'a JSON pointer to an argument, such as /order/amount'],
  equals: [isScalar, 'a text, number, true or false'],
  one_of: [isScalars, 'a list of 1 to 256 texts or of numbers'],
  prefix: name,
  min: number,
  max: number,
  total: [isAmount, 'a number above 0 with at most six decimals'],
  jkt: [isThumbprint, 'a SHA-256 JWK thumbprint in base64url'],
  'x5t#S256': [isThumbprint, 'a SHA-256 certificate thumbprint in base64url'],
};
const MEMBER_ORDER = Object.keys(MEMBERS);

/**
 * The caveat that a value states, its members in signing order. Throws `MalformedCapability` for an
 * unknown type, a missing, foreign or mistyped member, and a condition that says nothing.
 */
export function readCaveat(value: Json): Caveat {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw new MalformedCapability('capability.malformed', 'a caveat is not an object');
  }
  const type = value['t'];
  if (typeof type !== 'string') {
    throw new MalformedCapability('capability.malformed', 'a caveat has no type');
  }
  if (!isCaveatType(type)) {
    throw new MalformedCapability('capability.unknown_caveat', `unknown caveat "${type}"`);
  }
  const fault = shapeFault(type, value) ?? meaningFault(type, value);
  if (fault !== undefined) {
    throw new MalformedCapability('capability.malformed', `caveat "${type}": ${fault}`);
  }
  const ordered: JsonObject = { t: type };
  for (const member of MEMBER_ORDER) {
    const content = value[member];
    if (content !== undefined) ordered[member] = content;
  }
  // Shape and meaning were checked against the tables above.
  return ordered as Caveat;
}

function isCaveatType(type: string): type is CaveatType {
  return Object.hasOwn(SHAPES, type);
}

function shapeFault(type: CaveatType, value: JsonObject): string | undefined {
  const allowed = SHAPES[type];
  for (const [member, content] of Object.entries(value)) {
    if (member === 't') continue;
    const spec = MEMBERS[member];
    const belongs = allowed.includes(member) || allowed.includes(`${member}?`);
    if (!belongs || spec === undefined) return `"${member}" does not belong to it`;
    const [holds, description] = spec;
    if (!holds(content)) return `"${member}" must be ${description}`;
  }
  const missing = allowed.find((member) => !member.endsWith('?') && !Object.hasOwn(value, member));
  return missing === undefined ? undefined : `"${missing}" is missing`;
}

/** What a caveat with optional members must say beyond its shape, so that none is empty. */
function meaningFault(type: CaveatType, value: JsonObject): string | undefined {
  if (type === 'callee_allow') return stated(value, 'callees', 'callee_zones');
  if (type === 'sender') return senderFault(value);
  if (type === 'amount') return amountFault(value);
  if (type === 'args') return conditionFault(value);
  return undefined;
}

function stated(value: JsonObject, ...members: string[]): string | undefined {
  if (members.some((member) => Object.hasOwn(value, member))) return undefined;
  return `it states neither ${members.map((member) => `"${member}"`).join(' nor ')}`;
}

function amountFault(value: JsonObject): string | undefined {
  const { max } = value;
  if (max !== undefined && !isAmount(max)) return '"max" must be above 0';
  return stated(value, 'max', 'total');
}

function senderFault(value: JsonObject): string | undefined {
  const both = Object.hasOwn(value, 'jkt') && Object.hasOwn(value, 'x5t#S256');
  return both ? 'it must name exactly one key' : stated(value, 'jkt', 'x5t#S256');
}

function conditionFault(value: JsonObject): string | undefined {
  const { equals, one_of, prefix, min, max } = value;
  const conditions = [equals, one_of, prefix, min ?? max].filter((given) => given !== undefined);
  if (conditions.length !== 1) return 'it must state exactly one condition';
  const empty = typeof min === 'number' && typeof max === 'number' && min > max;
  return empty ? '"min" is above "max"' : undefined;
}
