/** Capabilities in the hands of their holder: look into one, make a narrower one. Offline, without any key. */
import { createHash, createHmac } from 'node:crypto';

import { readCaveat, type ArgumentCondition, type Caveat, type SenderKey } from './caveats.ts';
import { read, signedText, write } from './format.ts';

/** What a narrower capability shall be limited to. What is left out stays as it was; nothing can be widened. */
export interface Narrowing {
  /** Only these tools: exact names, or patterns such as `lookup_*`. */
  readonly tools?: readonly string[];
  /** Never these tools, whatever else allows them. */
  readonly forbiddenTools?: readonly string[];
  /** When it ends: a date, or whole unix seconds. */
  readonly expires?: Date | number;
  /** When it ends, in seconds from now. */
  readonly expiresIn?: number;
  /** When it begins: a date, or whole unix seconds. */
  readonly notBefore?: Date | number;
  /** How many calls it is good for. An expiry of at most 31 days must stand before it, here or in the parent. */
  readonly calls?: number;
  /** Only tools of these servers. */
  readonly upstreams?: readonly string[];
  /** Only calls of this task. */
  readonly task?: string;
  /** Only calls by this agent: for handing it to a child. */
  readonly actor?: string;
  /** Only with an identity for this audience. */
  readonly audience?: string;
  /** Only from who proves to hold this key: a DPoP key's thumbprint or a client certificate's. */
  readonly sender?: SenderKey;
  /** Conditions on arguments, each at a JSON pointer. */
  readonly arguments?: readonly ({ path: string } & ArgumentCondition)[];
  /** Arguments that are amounts: at most `max` in one call, at most `total` in all calls. */
  readonly amounts?: readonly { path: string; max?: number; total?: number }[];
  /** Further caveats as they stand in the capability, in this order after all the above. */
  readonly caveats?: readonly Caveat[];
}

/** What a capability says. Nothing of it is verified: only Countersign can do that. */
export interface Inspection {
  readonly id: string;
  readonly rootId: string;
  readonly issuer: string;
  readonly tenant: string;
  readonly zone: string;
  readonly agent: string;
  /** Unix seconds, as are the other times. */
  readonly issuedAt: number;
  readonly notBefore: number | undefined;
  /** The earliest of its expiries; undefined when it has none. */
  readonly expiresAt: number | undefined;
  readonly caveats: readonly Caveat[];
  /** Revoking this revokes the capability and all that was narrowed from it. The ids of its parents need the key. */
  readonly revocationId: string;
}

/**
 * The same capability, narrowed. Needs no key; the result is another token, the given one stays as it is.
 * @throws MalformedCapability when the token is none, or what is asked cannot be stated
 */
export function attenuate(token: string, narrowing: Narrowing): string {
  const { claims, caveats, signature } = read(token);
  const added = caveatsOf(narrowing).map(readCaveat);
  let last = signature;
  for (const caveat of added) {
    last = createHmac('sha256', last).update(signedText(caveat)).digest();
  }
  return write({ claims, caveats: [...caveats, ...added], signature: last });
}

/** What a capability says; nothing is verified. @throws MalformedCapability */
export function inspect(token: string): Inspection {
  const { claims, caveats, signature } = read(token);
  const expiries = caveats.flatMap((caveat) => (caveat.t === 'exp' ? [caveat.exp] : []));
  return {
    id: claims.jti,
    rootId: claims.root_jti,
    issuer: claims.iss,
    tenant: claims.tenant,
    zone: claims.zone,
    agent: claims.sub,
    issuedAt: claims.iat,
    notBefore: claims.nbf,
    expiresAt: expiries.length === 0 ? undefined : Math.min(...expiries),
    caveats,
    revocationId: createHash('sha256').update(signature).digest('hex'),
  };
}

/** In one fixed order, the expiry before whatever is counted. */
function caveatsOf(asked: Narrowing): unknown[] {
  const caveats: unknown[] = [];
  const state = (value: unknown, caveat: object) => {
    if (value !== undefined) caveats.push(caveat);
  };
  state(asked.expires, { t: 'exp', exp: seconds(asked.expires) });
  if (asked.expiresIn !== undefined) {
    caveats.push({ t: 'exp', exp: Math.floor(Date.now() / 1000) + asked.expiresIn });
  }
  state(asked.notBefore, { t: 'nbf', nbf: seconds(asked.notBefore) });
  state(asked.tools, { t: 'tool_allow', tools: asked.tools });
  state(asked.forbiddenTools, { t: 'tool_deny', tools: asked.forbiddenTools });
  state(asked.upstreams, { t: 'upstream', upstreams: asked.upstreams });
  state(asked.task, { t: 'task', task: asked.task });
  state(asked.actor, { t: 'actor', agent: asked.actor });
  state(asked.audience, { t: 'audience', audience: asked.audience });
  state(asked.sender, { t: 'sender', ...asked.sender });
  for (const condition of asked.arguments ?? []) caveats.push({ t: 'args', ...condition });
  for (const amount of asked.amounts ?? []) caveats.push({ t: 'amount', ...amount });
  state(asked.calls, { t: 'max_calls', max_calls: asked.calls });
  caveats.push(...(asked.caveats ?? []));
  return caveats;
}

function seconds(time: Date | number | undefined): number | undefined {
  return time instanceof Date ? Math.floor(time.getTime() / 1000) : time;
}
