/** What a capability shall be limited to, in words: as an operator mints it and as its holder narrows it. */
import type { MintRequest } from '#contracts/admin-bodies.ts';
import { type Caveat, readCaveat } from '#contracts/capability/caveats.ts';
import { MalformedCapability } from '#contracts/capability/malformed.ts';
import type { Json } from '#contracts/json.ts';

/** Everything left out is not limited. Times in unix seconds. */
export interface Terms extends Omit<MintRequest, 'agent' | 'expires_in_s'> {
  /** The agent it is bound to from its root on; for handing it on there is `actor`. */
  readonly agent?: string;
  readonly expires_at?: number;
}

/** Terms that make no capability. `path` says which, as a JSON pointer into the terms. */
export class ImpossibleTerms extends Error {
  override readonly name = 'ImpossibleTerms';
  readonly path: string;

  constructor(path: string, detail: string, cause: unknown) {
    super(detail, { cause });
    this.path = path;
  }
}

/**
 * The terms as caveats, in one order that both SDKs have too: the lock to the agent first, as v4 wants it, and the
 * expiry before whatever is counted. @throws ImpossibleTerms
 */
export function caveatsOf(terms: Terms): Caveat[] {
  const stated: [path: string, caveat: object][] = [];
  const state = (name: keyof Terms, caveat: object) => {
    if (terms[name] !== undefined) stated.push([`/${name}`, caveat]);
  };
  const stateEach = (name: 'arguments' | 'amounts', t: Caveat['t']) => {
    for (const [at, term] of (terms[name] ?? []).entries()) {
      stated.push([`/${name}/${at}`, { t, ...term }]);
    }
  };
  state('agent', { t: 'agent_lock', agent: terms.agent });
  state('expires_at', { t: 'exp', exp: terms.expires_at });
  state('not_before', { t: 'nbf', nbf: terms.not_before });
  state('tools', { t: 'tool_allow', tools: terms.tools });
  state('forbidden_tools', { t: 'tool_deny', tools: terms.forbidden_tools });
  state('upstreams', { t: 'upstream', upstreams: terms.upstreams });
  state('task', { t: 'task', task: terms.task });
  state('actor', { t: 'actor', agent: terms.actor });
  state('audience', { t: 'audience', audience: terms.audience });
  state('sender', { t: 'sender', ...terms.sender });
  stateEach('arguments', 'args');
  stateEach('amounts', 'amount');
  state('calls', { t: 'max_calls', max_calls: terms.calls });
  return stated.map(([path, caveat]) => {
    try {
      return readCaveat(caveat as Json); // a caveat or not is what is found out
    } catch (error) {
      if (!(error instanceof MalformedCapability)) throw error;
      throw new ImpossibleTerms(path, error.detail, error);
    }
  });
}
