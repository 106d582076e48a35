/** Signatures of callbacks, each over the very bytes that came, compared as text: another spelling is another signature. */
import { createHmac, timingSafeEqual } from 'node:crypto';

import type { Posted } from '#host/posted.ts';

import { webhookKey, webhookSignature } from './vendor.ts';

/** Callbacks that are older, or from further ahead, are refused. */
export const WINDOW_S = 300;

/** Whether a time in seconds is now, give or take the window. */
export const isNow = (seconds: number, nowMs: number): boolean =>
  Math.abs(nowMs / 1_000 - seconds) <= WINDOW_S;

const SECONDS = /^[1-9]\d{9,10}$/;

function same(made: string, given: string): boolean {
  const [a, b] = [Buffer.from(made), Buffer.from(given)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Signed: whose signature it is, so that the same callback is known again. */
export type Signed = { readonly key: string } | 'unsigned';

/** @see https://docs.slack.dev/authentication/verifying-requests-from-slack */
export function slackSigned(
  { header, body }: Posted,
  secrets: readonly string[],
  nowMs: number,
): Signed {
  const timestamp = header('x-slack-request-timestamp');
  const given = header('x-slack-signature');
  if (!SECONDS.test(timestamp) || !isNow(Number(timestamp), nowMs)) return 'unsigned';
  const good = secrets.some((secret) => same(slackSignature(secret, timestamp, body), given));
  return good ? { key: given } : 'unsigned';
}

/** `v0=<hex>` @param timestamp seconds */
export function slackSignature(secret: string, timestamp: string, body: Uint8Array | string) {
  return `v0=${createHmac('sha256', secret).update(`v0:${timestamp}:`).update(body).digest('hex')}`;
}

/** Says nothing of time: its event does. @see https://developer.pagerduty.com/docs/verifying-webhook-signatures */
export function pagerdutySigned({ header, body }: Posted, secrets: readonly string[]): boolean {
  const given = header('x-pagerduty-signature').split(',');
  return secrets.some((secret) => {
    const made = `v1=${createHmac('sha256', secret).update(body).digest('hex')}`;
    // All are compared, whichever fits.
    return given.map((one) => same(made, one.trim())).includes(true);
  });
}

const ID = /^[\x21-\x7e]{1,256}$/;

/** @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md */
export function webhookSigned(
  { header, body }: Posted,
  secrets: readonly string[],
  nowMs: number,
): Signed {
  const id = header('webhook-id');
  const timestamp = header('webhook-timestamp');
  const given = header('webhook-signature').split(' ');
  if (!ID.test(id) || !SECONDS.test(timestamp) || !isNow(Number(timestamp), nowMs))
    return 'unsigned';
  const good = secrets
    .flatMap((secret) => webhookKey(secret) ?? [])
    .some((key) => {
      const made = webhookSignature(key, { id, timestamp, body });
      return given.map((one) => same(made, one)).includes(true);
    });
  return good ? { key: id } : 'unsigned';
}
