/** Whether the sender of a call holds the key that its identity is bound to. Costs nothing for calls without either. */
import type { Reason } from '#contracts/reasons.ts';
import { NO_KEYS, type Sender, type SenderKeys } from '#contracts/sender.ts';

import type { Call } from '../decide.ts';

export interface Fault {
  readonly fault: Reason;
  readonly detail: string;
}

/** Thumbprint of the key of a DPoP proof that holds for this request and token, and was never used before. */
export type ProveKey = (
  sender: Sender & { readonly proof: string },
  token: string,
  at: number,
) => Promise<string | Fault>;

/** Keys that the sender proved, or why it may not use this identity. A proof that was sent has to hold, needed or not. */
export async function provenKeys(
  { envelope, at }: Pick<Call, 'envelope' | 'at'>,
  bound: SenderKeys,
  prove: ProveKey,
): Promise<SenderKeys | Fault> {
  const { sender, identity } = envelope;
  if (sender === undefined) return bound === NO_KEYS ? NO_KEYS : unproven('nothing was proved');
  const { proof, certificate = '', scheme } = sender;
  const jkt = proof === undefined ? '' : await prove({ ...sender, proof }, identity, at);
  if (typeof jkt !== 'string') return jkt;
  // A token that is bound by DPoP must not come as a bearer token (RFC 9449, section 7.2), nor any other as a bound one.
  if ((scheme === 'dpop') !== (bound.jkt !== '')) return unproven(`sent under scheme ${scheme}`);
  if (bound.jkt !== '' && bound.jkt !== jkt) return unproven('the proof is of another key');
  const thumbprint = bound['x5t#S256'];
  if (thumbprint !== '' && thumbprint !== certificate) return unproven('another certificate');
  return { jkt, 'x5t#S256': certificate };
}

const unproven = (detail: string): Fault => ({ fault: 'identity.sender', detail });

/** The keys that a verified token is bound to (RFC 7800, `cnf`); a text = what is wrong. Other methods cannot be checked here. */
export function boundKeys(cnf: unknown): SenderKeys | string {
  if (cnf === undefined) return NO_KEYS;
  if (typeof cnf !== 'object' || cnf === null || Array.isArray(cnf)) return 'cnf is not an object';
  const { jkt = '', 'x5t#S256': x5t = '', ...other } = cnf as Readonly<Record<string, unknown>>;
  if (Object.keys(other).length > 0) return 'cnf has a member that cannot be checked';
  if (typeof jkt !== 'string' || typeof x5t !== 'string') return 'cnf has a member that is no text';
  return jkt === '' && x5t === '' ? 'cnf names no key' : { jkt, 'x5t#S256': x5t };
}
