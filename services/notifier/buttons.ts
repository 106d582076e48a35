/** When a channel itself may decide: only what is of low risk, and says in its policy's words what it does. */
import { createHash, randomBytes } from 'node:crypto';

import type { Channel } from './channels.ts';
import type { Notice } from './vendor.ts';
import { isEnd } from './words.ts';

/** What is open, of low risk and in the policy's words, at a channel that knows people. */
export function hasButtons({ event }: Pick<Notice, 'event'>, { people }: Channel): boolean {
  const { risk, effect } = event.value.summary;
  const mapped = Object.keys(people ?? {}).length > 0;
  return risk === 'low' && effect !== '' && mapped && !isEnd(event.event);
}

const NONCE_BYTES = 16;

/** A word that takes one decision. */
export const newNonce = (): string => randomBytes(NONCE_BYTES).toString('hex');

/** Under which it is stored: reading the table decides nothing. */
export const nonceHash = (nonce: string): string =>
  createHash('sha256').update(nonce).digest('hex');
