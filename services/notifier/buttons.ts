/** When a channel itself may decide: only what is of low risk, and says in its policy's words what it does. */
import { createHash, createHmac } from 'node:crypto';

import type { Channel } from './channels.ts';
import type { Call, Notice } from './vendor.ts';
import { isEnd } from './words.ts';

/** What is open, of low risk and in the policy's words, at a channel that knows people. */
export function hasButtons({ event }: Pick<Notice, 'event'>, { people }: Channel): boolean {
  const { risk, effect } = event.value.summary;
  const mapped = Object.keys(people ?? {}).length > 0;
  return risk === 'low' && effect !== '' && mapped && !isEnd(event.event);
}

const NONCE_CHARS = 32;

/** A word that takes one decision of a call, as it is at this step: shown again, it is the same. */
export const nonceOf = (
  key: Uint8Array,
  { tenant, channel }: Pick<Notice, 'tenant' | 'channel'>,
  { approval, step }: Pick<Call, 'approval' | 'step'>,
): string =>
  createHmac('sha256', key)
    .update(`button 1\n${JSON.stringify([tenant, channel, approval, step])}`)
    .digest('hex')
    .slice(0, NONCE_CHARS);

/** Under which it is stored: reading the table decides nothing. */
export const nonceHash = (nonce: string): string =>
  createHash('sha256').update(nonce).digest('hex');
