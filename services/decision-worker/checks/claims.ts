/** Reads agent, person and chain of actors out of a verified token (RFC 8693, section 4.1). Pure. */
import type { Issuer } from '#contracts/control.ts';
import { canonical, type Json } from '#contracts/json.ts';

import type { Claims } from './identity.ts';

/** Longest accepted id or name in a claim. */
const CLAIM_CHARS_MAX = 256;
const PURPOSE_CHARS_MAX = 2_000;
/** The walk ends here; whatever is deeper was too deep long before. */
const WALK_MAX = 32;

type Payload = Readonly<Record<string, unknown>>;

/**
 * With `act`: person = `sub`, agent = outermost `act.sub`. Without: agent = the claim that the issuer was registered
 * with, or `sub`; then the person is `sub` only where it names somebody else and no claim was registered for persons:
 * tokens of a client by itself have a technical user as `sub` (Keycloak, Entra ID, Auth0), who is no person.
 * @returns what is wrong as a string, else the claims
 */
export function readClaims(payload: Payload, names: Issuer['claims'] = {}): Claims | string {
  const subject = textOf(payload, 'sub', CLAIM_CHARS_MAX);
  const actors = actorsOf(payload['act']);
  if (typeof actors === 'string') return actors;
  const acted = actors.length > 0;
  const act = acted ? actText(payload['act']) : '';
  if (act === undefined) return 'act cannot be recorded';
  const agent = actors[0] ?? textOf(payload, names.agent ?? 'sub', CLAIM_CHARS_MAX);
  if (agent === '') return `no agent in claim ${acted ? 'act' : (names.agent ?? 'sub')}`;
  const named = names.person === undefined ? '' : textOf(payload, names.person, CLAIM_CHARS_MAX);
  const bySubject = acted || (names.person === undefined && subject !== agent);
  const person = named !== '' ? named : bySubject ? subject : '';
  if (acted && person === '') return 'an actor without a person';
  return {
    agent,
    person,
    actors: acted ? actors : [agent],
    act,
    workflow: textOf(payload, names.workflow ?? 'workflow', CLAIM_CHARS_MAX),
    session: textOf(payload, names.session ?? 'session_id', CLAIM_CHARS_MAX),
    task: textOf(payload, names.task ?? 'task_id', CLAIM_CHARS_MAX),
    purpose: textOf(payload, names.purpose ?? 'purpose', PURPOSE_CHARS_MAX),
  };
}

/** An own string claim that is neither empty nor too long, else empty. */
function textOf(payload: Payload, name: string, max: number): string {
  const value = Object.hasOwn(payload, name) ? payload[name] : undefined;
  return typeof value === 'string' && value.length <= max && value.isWellFormed() ? value : '';
}

function actorsOf(act: unknown): string[] | string {
  const actors: string[] = [];
  for (let next = act; next !== undefined; next = (next as Payload)['act']) {
    if (typeof next !== 'object' || next === null || Array.isArray(next))
      return 'act is not an object';
    const actor = textOf(next as Payload, 'sub', CLAIM_CHARS_MAX);
    if (actor === '') return 'an actor without sub';
    actors.push(actor);
    if (actors.length > WALK_MAX) return 'the chain of actors has no end';
  }
  return actors;
}

/** The chain as canonical JSON where it says more than who acts; empty = its actors are all of it. */
function actText(act: unknown): string | undefined {
  let more = false;
  for (let next = act; next !== undefined; next = (next as Payload)['act']) {
    more ||= Object.keys(next as Payload).some((name) => name !== 'sub' && name !== 'act');
  }
  try {
    return more ? canonical(act as Json) : ''; // parsed from JSON
  } catch {
    return undefined;
  }
}
