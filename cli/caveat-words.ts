// What the caveats of a capability mean, for people: each as one limit in words.

import type { ArgumentCondition, Caveat, CaveatType } from '#contracts/capability/caveats.ts';

type Words = { readonly [T in CaveatType]: (caveat: Extract<Caveat, { t: T }>) => string };

const REFUSES = 'refuses every call: it is not enforced here';

const WORDS: Words = {
  agent_lock: ({ agent }) => `issued to ${agent}`,
  exp: ({ exp }) => `until ${timeText(exp)}`,
  nbf: ({ nbf }) => `from ${timeText(nbf)} on`,
  tool_allow: ({ tools }) => `only tools ${tools.join(', ')}`,
  tool_deny: ({ tools }) => `never tools ${tools.join(', ')}`,
  mcp_allow: ({ servers }) => `only tools named after ${servers.join(', ')}`,
  upstream: ({ upstreams }) => `only tools of server ${upstreams.join(', ')}`,
  tenant: ({ tenant }) => `only in tenant ${tenant}`,
  task: ({ task }) => `only for task ${task}`,
  actor: ({ agent }) => `only calls by ${agent}`,
  audience: ({ audience }) => `only at gateway ${audience}`,
  args: (caveat) => `only where ${caveat.path} ${conditionText(caveat)}`,
  amount: ({ path, max, total }) =>
    [
      ...(max === undefined ? [] : [`${path} at most ${max} in each call`]),
      ...(total === undefined ? [] : [`${path} at most ${total} in all calls together`]),
    ].join(', '),
  max_calls: ({ max_calls: calls }) => `at most ${calls} call${calls === 1 ? '' : 's'}`,
  sender: (caveat) =>
    'jkt' in caveat
      ? `only from the holder of key ${caveat.jkt}`
      : `only from the holder of certificate ${caveat['x5t#S256']}`,
  step_up: () => `step_up ${REFUSES}`,
  callee_allow: () => `callee_allow ${REFUSES}`,
  risk_max: () => `risk_max ${REFUSES}`,
  rate_limit: () => `rate_limit ${REFUSES}`,
  max_cost: () => `max_cost ${REFUSES}`,
};

/** The limit that a caveat states. Its names are an agent's: show them only through `visible`. */
export function caveatText<T extends CaveatType>(caveat: Extract<Caveat, { t: T }>): string {
  // The words of its own type: the table is complete by its type.
  return WORDS[caveat.t as T](caveat);
}

function conditionText(condition: ArgumentCondition): string {
  if ('equals' in condition) return `is ${JSON.stringify(condition.equals)}`;
  if ('one_of' in condition) return `is one of ${JSON.stringify(condition.one_of)}`;
  if ('prefix' in condition) return `begins with ${JSON.stringify(condition.prefix)}`;
  const { min, max } = condition;
  return [
    ...(min === undefined ? [] : [`is at least ${min}`]),
    ...(max === undefined ? [] : [`is at most ${max}`]),
  ].join(' and ');
}

/** Seconds may be past what a date can hold. */
function timeText(seconds: number): string {
  const date = new Date(seconds * 1_000);
  return Number.isNaN(date.getTime()) ? `${seconds} (unix seconds)` : date.toISOString();
}
