/** The caveats of a capability: what each holds, read strictly. Described in docs/capability.md of Countersign. */
import { MalformedCapability } from './errors.ts';

/** A value that an argument can be compared with. */
export type Scalar = string | number | boolean;

/** The key that the sender must prove to hold: of a DPoP proof (RFC 9449) or of its TLS certificate (RFC 8705). */
export type SenderKey = { jkt: string } | { 'x5t#S256': string };

/** Exactly one condition on the argument at a JSON pointer; `min` and `max` (inclusive) are one. */
export type ArgumentCondition =
  | { equals: Scalar }
  | { one_of: Scalar[] }
  | { prefix: string }
  | { min: number; max?: number }
  | { min?: number; max: number };

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

type Members = Readonly<Record<string, unknown>>;

/** Members by caveat; a question mark stands after an optional one. */
const SHAPES: Readonly<Record<Caveat['t'], readonly string[]>> = {
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

/** Every member in signing order, and what its value must be. */
const MEMBERS: Readonly<Record<string, (value: unknown) => boolean>> = {
  tools: (value) => isListOf(value, isTool),
  agent: isName,
  exp: isSeconds,
  max_calls: isCount,
  step_up_at: isSeconds,
  callees: isNames,
  callee_zones: isNames,
  servers: isNames,
  rate_per_min: isCount,
  max_cents: isCount,
  risk_max: isCount,
  nbf: isSeconds,
  upstreams: isNames,
  tenant: isName,
  task: isName,
  audience: isName,
  path: (value) => isName(value) && /^(?:\/(?:[^~/]|~[01])*)+$/.test(value),
  equals: (value) => typeof value === 'boolean' || isText(value) || isDecimal(value),
  one_of: (value) => isListOf(value, isText) || isListOf(value, isDecimal),
  prefix: isName,
  min: isDecimal,
  max: isDecimal,
  total: isAmount,
  jkt: isThumbprint,
  'x5t#S256': isThumbprint,
};
const MEMBER_ORDER = Object.keys(MEMBERS);

/**
 * The caveat that a value states, its members in signing order. Throws `MalformedCapability` for an unknown type,
 * a missing, foreign or mistyped member, and a condition that says nothing.
 */
export function readCaveat(value: unknown): Caveat {
  if (!isObject(value)) throw new MalformedCapability('a caveat is not an object');
  const type = value['t'];
  if (typeof type !== 'string') throw new MalformedCapability('a caveat has no type');
  if (!Object.hasOwn(SHAPES, type)) {
    throw new MalformedCapability(`unknown caveat "${type}"`, 'capability.unknown_caveat');
  }
  const fault = shapeFault(SHAPES[type as Caveat['t']], value) ?? meaningFault(type, value);
  if (fault !== undefined) throw new MalformedCapability(`caveat "${type}": ${fault}`);
  const ordered: Record<string, unknown> = { t: type };
  for (const member of MEMBER_ORDER) {
    if (value[member] !== undefined) ordered[member] = value[member];
  }
  return ordered as Caveat; // shape and meaning were just checked
}

/** True for what is an object in JSON. */
export function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function shapeFault(allowed: readonly string[], value: Members): string | undefined {
  for (const [member, content] of Object.entries(value)) {
    if (member === 't') continue;
    const holds = MEMBERS[member];
    const belongs = allowed.includes(member) || allowed.includes(`${member}?`);
    if (!belongs || holds === undefined) return `"${member}" does not belong to it`;
    if (!holds(content)) return `"${member}" cannot have this value`;
  }
  const missing = allowed.find((member) => !member.endsWith('?') && !Object.hasOwn(value, member));
  return missing === undefined ? undefined : `"${missing}" is missing`;
}

/** What a caveat with optional members must say beyond its shape, so that none is empty. */
function meaningFault(type: string, value: Members): string | undefined {
  const states = (...members: string[]) => members.some((member) => Object.hasOwn(value, member));
  const { max } = value;
  if (type === 'callee_allow' && !states('callees', 'callee_zones')) return 'it says nothing';
  if (type === 'sender' && states('jkt') === states('x5t#S256')) return 'it must name one key';
  if (type === 'amount' && !states('max', 'total')) return 'it says nothing';
  if (type === 'amount' && max !== undefined && !isAmount(max)) return '"max" must be above 0';
  return type === 'args' ? conditionFault(value) : undefined;
}

function conditionFault({ equals, one_of, prefix, min, max }: Members): string | undefined {
  const conditions = [equals, one_of, prefix, min ?? max].filter((given) => given !== undefined);
  if (conditions.length !== 1) return 'it must state exactly one condition';
  const empty = typeof min === 'number' && typeof max === 'number' && min > max;
  return empty ? '"min" is above "max"' : undefined;
}

const TEXT_BYTES_MAX = 1024;
const LIST_ENTRIES_MAX = 256;
/** The last second of the year 9999. */
const SECONDS_MAX = 253_402_300_799;

/** Half a surrogate pair is no character and has no UTF-8. */
const LONE_SURROGATE = /\p{Surrogate}/u;

function isText(value: unknown): value is string {
  if (typeof value !== 'string' || LONE_SURROGATE.test(value)) return false;
  return new TextEncoder().encode(value).length <= TEXT_BYTES_MAX;
}

/** A text of 1 to 1024 bytes. */
export function isName(value: unknown): value is string {
  return isText(value) && value !== '';
}

/** Whole unix seconds after 1970, to the end of the year 9999. */
export function isSeconds(value: unknown): value is number {
  return isCount(value) && value <= SECONDS_MAX;
}

function isListOf(value: unknown, holds: (entry: unknown) => boolean): boolean {
  if (!Array.isArray(value) || value.length === 0 || value.length > LIST_ENTRIES_MAX) return false;
  return value.every((entry) => holds(entry));
}

function isNames(value: unknown): boolean {
  return isListOf(value, isName);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 1;
}

/** A number that every language writes alike: micro-units at most, never with an exponent. */
function isDecimal(value: unknown): value is number {
  if (typeof value !== 'number' || Math.abs(value) > Number.MAX_SAFE_INTEGER) return false;
  return /^-?\d+(?:\.\d{1,6})?$/.test(String(value));
}

function isAmount(value: unknown): boolean {
  return isDecimal(value) && value > 0;
}

function isThumbprint(value: unknown): boolean {
  return typeof value === 'string' && /^[\w-]{42}[AEIMQUYcgkosw048]$/.test(value);
}

/** A well-formed pattern of Go's path.Match; a class may be negated and holds characters and ranges. */
const PATTERN = /^(?:[^\\[]|\\.|\[(?:\^|(?!\^))(?:(?:\\.|[^\\\]-])(?:-(?:\\.|[^\\\]-]))?)+\])*$/su;

function isTool(value: unknown): boolean {
  return isName(value) && (!/[*?[]/.test(value) || PATTERN.test(value));
}
