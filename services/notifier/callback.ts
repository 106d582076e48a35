/**
 * Callbacks of vendors: signature, time and form here; whether the person may decide, and whether it changes anything,
 * approval-escalation alone says. Until the signature holds nothing is read, stored or told apart.
 */
import { createHash } from 'node:crypto';

import type pg from 'pg';

import type { Surface } from '#contracts/approval.ts';
import { parseTenantId, type TenantId } from '#contracts/ids.ts';
import type { Logger } from '#host/log.ts';
import { counter } from '#host/metrics.ts';
import type { PostAnswer, Posted } from '#host/posted.ts';
import type { SignedRequest } from '#host/signed-request.ts';

import { baseUrl, type Channel, type Channels } from './channels.ts';
import { type Click, type Nothing, pagerdutyClick, slackClick, webhookClick } from './clicks.ts';
import { decide, type Refusal, REFUSALS } from './decide.ts';
import type { Post } from './outgoing.ts';
import { isNow, pagerdutySigned, slackSigned, webhookSigned, WINDOW_S } from './signatures.ts';
import { JSON_TYPE } from './vendor.ts';

export interface CallbackParts {
  readonly pool: pg.Pool;
  readonly channels: Channels;
  readonly request: SignedRequest;
  readonly post: Post;
  readonly log: Logger;
  readonly now: () => number;
}

/** Where a callback came in, proved. */
export interface Origin {
  readonly tenant: TenantId;
  readonly channel: Channel;
  readonly via: Extract<Surface, 'slack' | 'pagerduty' | 'webhook'>;
}

interface Read {
  /** The same for the same callback. */
  readonly key: string;
  readonly click: Click | Nothing | undefined;
}

const PATH =
  /^\/v1\/callbacks\/(slack|pagerduty|webhook)\/([a-z0-9_-]{1,63})\/([A-Za-z0-9._@:-]{1,128})$/;

const answered = counter<{ via: string; result: string }>(
  'countersign_callbacks',
  'Callbacks of vendors, by vendor and result.',
);

const UNSIGNED: PostAnswer = { status: 401, body: 'not signed\n' };

/** Answers one callback, within the three seconds that Slack waits. */
export function answerCallback(parts: CallbackParts): (callback: Posted) => Promise<PostAnswer> {
  return async (callback) => {
    const [, via = '', whose = '', name = ''] = PATH.exec(callback.path) ?? [];
    const tenant = parseTenantId(whose);
    const channel = tenant === undefined ? undefined : parts.channels.of(tenant, name);
    // The same answer for an unknown channel: names are told to nobody.
    if (tenant === undefined || channel === undefined || channel.kind !== via) return UNSIGNED;
    const origin: Origin = { tenant, channel, via: via as Origin['via'] };
    const answer = await take(parts, origin, callback).catch((error: unknown) => {
      parts.log.warn({ err: error, tenant, channel: name }, 'a callback was not taken');
      return { status: 503, body: 'again later\n' };
    });
    answered.add(1, { via, result: String(answer.status) });
    return answer;
  };
}

async function take(parts: CallbackParts, origin: Origin, callback: Posted): Promise<PostAnswer> {
  const secrets = await parts.channels.secrets(origin.tenant, origin.channel.name, 'signing');
  const read = readSigned(origin.via, callback, secrets, parts.now());
  if (read === undefined) return UNSIGNED;
  const { click, key } = read;
  if (click === undefined) return { status: 400, body: 'not understood\n' };
  if (click === 'nothing') return { status: 200, body: '' };
  if (!(await isFirst(parts, origin, key))) return { status: 409, body: 'taken before\n' };
  const refusal = await decide(parts, origin, click);
  if (refusal === undefined) return { status: 200, body: '' };
  parts.log.info({ ...click, nonce: '', refusal, tenant: origin.tenant }, 'a click did not count');
  void tellPerson(parts, origin, click, refusal);
  return { status: REFUSALS[refusal].status, body: `${REFUSALS[refusal].text}\n` };
}

/** What a callback says, undefined while nobody has signed it, or not now. */
function readSigned(
  via: Origin['via'],
  callback: Posted,
  secrets: readonly string[],
  now: number,
): Read | undefined {
  switch (via) {
    case 'slack': {
      const signed = slackSigned(callback, secrets, now);
      return signed === 'unsigned' ? undefined : { ...signed, click: slackClick(callback) };
    }
    case 'webhook': {
      const signed = webhookSigned(callback, secrets, now);
      return signed === 'unsigned' ? undefined : { ...signed, click: webhookClick(callback) };
    }
    case 'pagerduty': {
      if (!pagerdutySigned(callback, secrets)) return undefined;
      const event = pagerdutyClick(callback);
      if (event === undefined) return { key: '', click: undefined };
      return isNow(event.at, now) ? { key: event.id, click: event.click } : undefined;
    }
  }
}

/** Twice the window: after that its time refuses it. */
const REMEMBERED_MS = 2 * WINDOW_S * 1_000;

/** Whether a callback comes for the first time: across restarts and instances. */
async function isFirst(
  { pool, now }: CallbackParts,
  { tenant, channel, via }: Origin,
  key: string,
): Promise<boolean> {
  const id = createHash('sha256')
    .update(JSON.stringify([via, tenant, channel.name, key]))
    .digest('hex');
  const { rowCount } = await pool.query(
    `with forgotten as (delete from notice_callbacks where at < $2)
     insert into notice_callbacks (key, at) values ($1, $3) on conflict do nothing`,
    [id, now() - REMEMBERED_MS, now()],
  );
  return rowCount === 1;
}

/** Only to the person, and only where the vendor itself listens. */
async function tellPerson(
  { post, log }: CallbackParts,
  { channel }: Origin,
  { answerTo }: Click,
  refusal: Refusal,
): Promise<void> {
  const url = answerTo !== undefined && URL.canParse(answerTo) ? new URL(answerTo) : undefined;
  if (url === undefined) return;
  if (url.host !== 'hooks.slack.com' && url.host !== new URL(baseUrl(channel)).host) return;
  const body = {
    response_type: 'ephemeral',
    replace_original: false,
    text: REFUSALS[refusal].text,
  };
  await post({
    url: url.href,
    headers: { 'content-type': JSON_TYPE },
    body: JSON.stringify(body),
  }).catch((error: unknown) => log.info({ err: error }, 'a person was not told'));
}
