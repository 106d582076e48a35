/**
 * Generic webhook: every event, signed.
 * @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
import { hasButtons } from './buttons.ts';
import { baseUrl } from './channels.ts';
import {
  byStatus,
  NoSecret,
  type Notice,
  type Vendor,
  webhookKey,
  webhookSignature,
} from './vendor.ts';
import { TEST_TOOL } from './words.ts';

export const webhook: Vendor = {
  groups: false,
  repeatable: () => true,
  make: async (notice, { channel, link, nonce, secret, now }) => {
    const key = webhookKey(await secret('secret'));
    if (key === undefined) throw new NoSecret('no secret of the form whsec_');
    const body = JSON.stringify({
      type: isTest(notice) ? 'channel.test' : `approval.${notice.event.event}`,
      timestamp: new Date(notice.event.at).toISOString(),
      data: {
        ...dataOf(notice, link(notice.approval)),
        ...(hasButtons(notice, channel) ? { nonce: nonce(notice) } : {}),
      },
    });
    const id = notice.event.id;
    const timestamp = String(Math.floor(now / 1_000));
    return {
      url: baseUrl(channel),
      body,
      headers: {
        'content-type': 'application/json',
        'user-agent': 'countersign',
        'webhook-id': id,
        'webhook-timestamp': timestamp,
        'webhook-signature': webhookSignature(key, { id, timestamp, body }),
      },
    };
  },
  // Anything but 2xx is a failure that passes, 410 one that does not.
  read: (answer, now) => {
    const result = byStatus(answer, now);
    return result.is === 'never' && answer.status !== 410
      ? { is: 'later', afterMs: 0, fault: result.fault }
      : result;
  },
};

const isTest = ({ event }: Notice): boolean => event.value.summary.tool === TEST_TOOL;

const dataOf = ({ event, repeat }: Notice, link: string) => ({
  ...event.value.summary,
  state: event.state,
  by: event.by,
  progress: event.value.progress,
  tier: event.value.tier,
  reason: event.value.reason,
  link,
  may_be_repeated: repeat,
});
