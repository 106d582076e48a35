/**
 * `requestState` of calls that were answered `input_required` by us: how often, for whom and for which call. The client
 * holds it, so everything in it is bound and sealed; what comes back is proof of nothing but the number of rounds, and
 * the call is judged anew.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import type { ApprovalId } from '#contracts/ids.ts';
import { canonical, type JsonObject } from '#contracts/json.ts';
import { sha256 } from '#contracts/record.ts';

import { type Exchange, proveCaller } from './exchange.ts';
import { Fault, RPC } from './fault.ts';
import type { Governed } from './govern.ts';
import { isObject } from './message.ts';

export interface Round {
  readonly principal: string;
  /** Milliseconds UTC. */
  readonly expiresAt: number;
  readonly number: number;
  /** What it waits for, '' where nothing says it. */
  readonly approval: ApprovalId | '';
}

/** Clients of the official SDK give up after ten. */
export const ROUNDS_MAX = 8;
/** A retry waits this long before it is judged: an accepted page comes back at once, an approval does not. */
const ROUND_MS = 3_000;
const PURPOSE = 'mcp round';
/** Tells our state from that of an upstream. */
const PREFIX = 'countersign.';

/** Upstream, action, digest of the arguments, principal, expiry, number, approval. */
type SealedRound = readonly [string, string, string, string, number, number, ApprovalId | ''];
type Bound = Pick<Governed, 'action' | 'args'>;

export function sealRound(
  { parts, target }: Exchange,
  { action, args }: Bound,
  { principal, expiresAt, number, approval }: Round,
): string {
  const call = [target.name, action, digestOf(args)] as const;
  const bound: SealedRound = [...call, principal, expiresAt, number, approval];
  return PREFIX + parts.seal.wrap(PURPOSE, JSON.stringify(bound));
}

/**
 * The round that a retry continues, after its wait; undefined for what is no retry of ours. Untrusted input.
 * @throws Fault for a state that belongs to another call or has expired
 */
export async function continuedRound(
  exchange: Exchange,
  governed: Governed,
): Promise<Round | undefined> {
  const { id, params } = governed.message;
  const { requestState: state, inputResponses: responses } = params;
  if (typeof state !== 'string' || !state.startsWith(PREFIX)) return undefined;
  const round = openRound(exchange, governed, state.slice(PREFIX.length));
  const { parts, request } = exchange;
  const { principal } = await proveCaller({ ...exchange, caller: parts.admit(request) });
  if (round?.principal !== principal || Date.now() > round.expiresAt) {
    throw new Fault(RPC.invalidParams, 'The requestState does not belong to this call.', { id });
  }
  const approval = isObject(responses) ? responses['approval'] : undefined;
  const waits = isObject(approval) && approval['action'] === 'accept';
  // Who does not want to look at the page is not asked again.
  if (!waits) return { ...round, number: ROUNDS_MAX };
  await waited(exchange, round);
  return round;
}

/** Until people have said something, or for as long as a client waits for an answer without asking itself why. */
async function waited({ parts, caller, reply }: Exchange, { approval }: Round): Promise<void> {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  if (approval === '') await sleep(ROUND_MS);
  else await parts.held.settled({ tenant: caller.tenant, approval }, ROUND_MS, gone.signal);
}

function openRound(
  { parts, target }: Exchange,
  { action, args }: Bound,
  sealed: string,
): Round | undefined {
  const text = parts.seal.unwrap(PURPOSE, sealed);
  if (text === undefined) return undefined;
  const [upstream, name, digest, principal, expiresAt, number, approval] = JSON.parse(
    text,
  ) as SealedRound;
  const same = upstream === target.name && name === action && digest === digestOf(args);
  return same ? { principal, expiresAt, number, approval } : undefined;
}

const digestOf = (args: JsonObject): string => sha256(canonical(args));
