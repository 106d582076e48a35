import type { VerifiedCapability } from '#contracts/capability.ts';
/**
 * What a verified capability says about one call. Pure: the call and its one time are arguments.
 * Every caveat must hold, so adding one can only take away; what cannot be enforced here refuses.
 */
import type {
  ArgumentCondition,
  Caveat,
  CaveatType,
  Scalar,
} from '#contracts/capability/caveats.ts';
import { isToolPattern, matchesTool } from '#contracts/capability/tool-pattern.ts';
import type { Json, JsonObject } from '#contracts/json.ts';
import type { SenderKeys } from '#contracts/sender.ts';

/** The call as the checks before this one have proved it; '' where something is not known. */
export interface CapabilityCall {
  readonly tool: string;
  readonly upstream: string;
  readonly arguments: JsonObject;
  /** The outermost actor: who calls. */
  readonly agent: string;
  /** Every actor of the delegation chain, the calling agent among them. */
  readonly actors: readonly string[];
  readonly tenant: string;
  readonly task: string;
  readonly audience: string;
  /** Keys that the sender proved to hold. */
  readonly sender: SenderKeys;
  readonly nowMs: number;
}

/** What judging needs of a capability; a standing grant can be put in this form too. */
export type Grant = Pick<
  VerifiedCapability,
  'tenant' | 'subject' | 'issuedAt' | 'notBefore' | 'caveats'
>;

export type CaveatFault =
  | 'capability.expired'
  | 'capability.not_yet_valid'
  | 'capability.calls_need_expiry'
  | 'capability.tool_not_covered'
  | 'capability.tool_forbidden'
  | 'capability.upstream_not_covered'
  | 'capability.wrong_agent'
  | 'capability.wrong_tenant'
  | 'capability.wrong_task'
  | 'capability.wrong_audience'
  | 'capability.wrong_sender'
  | 'capability.arguments_not_covered'
  | 'capability.unenforceable';

export interface CaveatRefusal {
  readonly code: CaveatFault;
  /** Position in the chain; -1 for what the issuer's claims say. */
  readonly index: number;
  readonly type: CaveatType | 'root';
  /** For operators, never for the caller. */
  readonly detail: string;
}

/** A limit of the chain that the budget stage counts; a child counts its own and its parents'. */
export type CapabilityLimit = {
  /** Names the counter: hash of the signature of the caveat that states the limit. */
  readonly link: string;
  readonly index: number;
} & (
  | { readonly kind: 'calls'; readonly atMost: number }
  | { readonly kind: 'amount'; readonly atMost: number; readonly path: string }
);

/** Counters are kept this long, so what is counted must expire before. */
export const COUNTED_SECONDS_MAX = 31 * 24 * 60 * 60;

/** How far the issuer's clock may be ahead of ours. */
export const ISSUER_SKEW_MS = 5_000;

/** Why the capability does not cover the call: the first failure in chain order, or null. */
export function judgeCaveats(grant: Grant, call: CapabilityCall): CaveatRefusal | null {
  return judgeRoot(grant, call) ?? judgeEach(grant, call, () => true);
}

/**
 * Whether a tool is worth showing to a caller who has not chosen arguments yet: every caveat but
 * those about arguments. Never an answer to a call.
 */
export function judgeVisibility(
  grant: Grant,
  call: Omit<CapabilityCall, 'arguments'>,
): CaveatRefusal | null {
  const shown = { ...call, arguments: {} };
  const aboutArguments: readonly CaveatType[] = ['args', 'amount'];
  return judgeRoot(grant, shown) ?? judgeEach(grant, shown, (t) => !aboutArguments.includes(t));
}

/** Unix seconds of the earliest expiry, or null when the capability has none. */
export function expiresAt({ caveats }: Pick<Grant, 'caveats'>): number | null {
  const times = caveats.flatMap((caveat) => (caveat.t === 'exp' ? [caveat.exp] : []));
  return times.length === 0 ? null : Math.min(...times);
}

/** What the budget stage must count for a call under this capability, in chain order. */
export function limits({
  caveats,
  links,
}: Pick<VerifiedCapability, 'caveats' | 'links'>): CapabilityLimit[] {
  return caveats.flatMap((caveat, index): CapabilityLimit[] => {
    // links[0] is the root's; the caveat at `index` made the link after it.
    const link = links[index + 1] ?? '';
    if (caveat.t === 'max_calls') return [{ kind: 'calls', link, index, atMost: caveat.max_calls }];
    if (caveat.t === 'amount' && caveat.total !== undefined) {
      return [{ kind: 'amount', link, index, atMost: caveat.total, path: caveat.path }];
    }
    return [];
  });
}

/** The argument at a JSON pointer (RFC 6901), or undefined when there is none. */
export function argumentAt(args: JsonObject, path: string): Json | undefined {
  let found: Json | undefined = args;
  for (const part of path.split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (Array.isArray(found))
      found = /^(?:0|[1-9]\d*)$/.test(name) ? found[Number(name)] : undefined;
    else if (typeof found !== 'object' || found === null) return undefined;
    else found = Object.hasOwn(found, name) ? found[name] : undefined;
  }
  return found;
}

type Finding = readonly [code: CaveatFault, detail: string] | null;

function judgeRoot(grant: Grant, call: CapabilityCall): CaveatRefusal | null {
  const finding =
    sameAs(grant.tenant, call.tenant, 'capability.wrong_tenant') ??
    (call.actors.includes(grant.subject)
      ? null
      : refuse('capability.wrong_agent', `${grant.subject} is no actor of this call`)) ??
    judgeNotBefore(grant.issuedAt, call.nowMs + ISSUER_SKEW_MS) ??
    judgeNotBefore(grant.notBefore ?? 0, call.nowMs);
  return finding && { code: finding[0], index: -1, type: 'root', detail: finding[1] };
}

function judgeEach(
  grant: Grant,
  call: CapabilityCall,
  counts: (type: CaveatType) => boolean,
): CaveatRefusal | null {
  for (const [index, caveat] of grant.caveats.entries()) {
    if (!counts(caveat.t)) continue;
    // The table gives each type the judge of exactly that type.
    const judge = JUDGES[caveat.t] as Judge<Caveat>;
    const finding = judge(caveat, call, grant, index);
    if (finding) return { code: finding[0], index, type: caveat.t, detail: finding[1] };
  }
  return null;
}

type Judge<C> = (caveat: C, call: CapabilityCall, grant: Grant, index: number) => Finding;

const JUDGES: { readonly [T in CaveatType]: Judge<Extract<Caveat, { t: T }>> } = {
  agent_lock: ({ agent }, _, { subject }) => sameAs(agent, subject, 'capability.wrong_agent'),
  actor: ({ agent }, call) => sameAs(agent, call.agent, 'capability.wrong_agent'),
  exp: ({ exp }, { nowMs }) =>
    nowMs < exp * 1000 ? null : refuse('capability.expired', `expired at ${timeText(exp)}`),
  nbf: ({ nbf }, { nowMs }) => judgeNotBefore(nbf, nowMs),
  tool_allow: ({ tools }, { tool }) =>
    tools.some((pattern) => matchesTool(pattern, tool))
      ? null
      : refuse('capability.tool_not_covered', `${tool} is not in the list`),
  tool_deny: ({ tools }, { tool }) => {
    // What cannot be read forbids: a standing grant may hold a malformed one, which would match nothing.
    const pattern = tools.find(
      (candidate) => !isToolPattern(candidate) || matchesTool(candidate, tool),
    );
    return pattern === undefined
      ? null
      : refuse('capability.tool_forbidden', `${tool}: ${pattern}`);
  },
  mcp_allow: ({ servers }, { tool }) =>
    servers.some((server) => belongsTo(server, tool))
      ? null
      : refuse('capability.upstream_not_covered', `${tool} belongs to none of the servers`),
  upstream: ({ upstreams }, { upstream }) =>
    upstreams.includes(upstream)
      ? null
      : refuse('capability.upstream_not_covered', `"${upstream}" is not in the list`),
  tenant: ({ tenant }, call) => sameAs(tenant, call.tenant, 'capability.wrong_tenant'),
  task: ({ task }, call) => sameAs(task, call.task, 'capability.wrong_task'),
  audience: ({ audience }, call) => sameAs(audience, call.audience, 'capability.wrong_audience'),
  args: (caveat, call) =>
    meets(caveat, argumentAt(call.arguments, caveat.path))
      ? null
      : refuse('capability.arguments_not_covered', `${caveat.path} does not meet the condition`),
  amount: (caveat, call, grant, index) =>
    judgeAmount(caveat, call) ?? (caveat.total === undefined ? null : judgeCountable(grant, index)),
  max_calls: (_, __, grant, index) => judgeCountable(grant, index),
  step_up: () => unenforceable('step_up'),
  callee_allow: () => unenforceable('callee_allow'),
  risk_max: () => unenforceable('risk_max'),
  rate_limit: () => unenforceable('rate_limit'),
  max_cost: () => unenforceable('max_cost'),
  sender: (caveat, { sender }) =>
    ('jkt' in caveat ? caveat.jkt === sender.jkt : caveat['x5t#S256'] === sender['x5t#S256'])
      ? null
      : refuse('capability.wrong_sender', 'its sender did not prove the key that it names'),
};

function refuse(code: CaveatFault, detail: string): Finding {
  return [code, detail];
}

function unenforceable(type: CaveatType): Finding {
  return refuse('capability.unenforceable', `"${type}" is not enforced here, so it refuses`);
}

function sameAs(wanted: string, found: string, code: CaveatFault): Finding {
  return wanted === found ? null : refuse(code, `for "${wanted}", not for "${found}"`);
}

function judgeNotBefore(seconds: number, nowMs: number): Finding {
  return nowMs >= seconds * 1000
    ? null
    : refuse('capability.not_yet_valid', `valid from ${timeText(seconds)}`);
}

function timeText(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}

/** v4's rule: the tool is the server's own name or begins with it and one of `.`, `:`, `/`. */
function belongsTo(server: string, tool: string): boolean {
  return tool === server || ['.', ':', '/'].some((mark) => tool.startsWith(server + mark));
}

/** Typed strictly: a missing argument, and one of another type, meets no condition. */
export function meets(caveat: ArgumentCondition, value: Json | undefined): boolean {
  if ('equals' in caveat) return value === caveat.equals;
  if ('one_of' in caveat) return caveat.one_of.includes(value as Scalar);
  if ('prefix' in caveat) return typeof value === 'string' && value.startsWith(caveat.prefix);
  return (
    typeof value === 'number' &&
    value >= (caveat.min ?? -Infinity) &&
    value <= (caveat.max ?? Infinity)
  );
}

/** An amount that is negative would give budget back, so it meets no amount caveat. */
function judgeAmount(
  { path, max }: Extract<Caveat, { t: 'amount' }>,
  call: CapabilityCall,
): Finding {
  const value = argumentAt(call.arguments, path);
  if (typeof value !== 'number' || value < 0) {
    return refuse('capability.arguments_not_covered', `${path} is not an amount of 0 or more`);
  }
  return max === undefined || value <= max
    ? null
    : refuse('capability.arguments_not_covered', `${path} is above ${max}`);
}

/**
 * A counter is kept for a bounded time, so what is counted must expire before that. The expiry must
 * stand earlier in the chain: else a holder could make a capability usable by adding one.
 */
function judgeCountable({ caveats, issuedAt }: Grant, index: number): Finding {
  const expiry = expiresAt({ caveats: caveats.slice(0, index) });
  if (expiry !== null && expiry - issuedAt <= COUNTED_SECONDS_MAX) return null;
  return refuse('capability.calls_need_expiry', 'no expiry within 31 days of iat stands before it');
}
