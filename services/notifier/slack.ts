/**
 * Slack: one message for each held call, changed in place as it goes on; reminders stand in its thread.
 * @see https://docs.slack.dev/reference/block-kit/blocks for the limits
 */
import { hasButtons } from './buttons.ts';
import { baseUrl } from './channels.ts';
import {
  type Around,
  JSON_TYPE,
  NoSecret,
  type Notice,
  type Result,
  retryAfterMs,
  type Vendor,
} from './vendor.ts';
import {
  factsOf,
  isEnd,
  quoted,
  shown,
  standing as standingOf,
  titleOf,
  UNTRUSTED,
} from './words.ts';

/** Slack reads these three everywhere, also in plain text: so nobody is mentioned and nothing becomes a link. */
const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

const EFFECT_MAX = 600;

const plain = (text: string) => ({ type: 'plain_text', text: escaped(text), emoji: false });

export const slack: Vendor = {
  // A change of a message that stands is the same however often it comes.
  repeatable: ({ kind }, { message }) => kind === 'update' && message !== '',
  make: async (notice, around) => {
    const { channel, standing } = around;
    if (notice.kind === 'update' && standing.message === '') return undefined;
    const again = notice.kind === 'ask' && standing.message !== '';
    const token = await around.secret('token');
    if (token === '') throw new NoSecret('no token');
    const method = notice.kind === 'update' ? 'chat.update' : 'chat.postMessage';
    const content = again ? reminder(notice) : message(notice, around);
    const place = again
      ? { channel: standing.place, thread_ts: standing.message, reply_broadcast: true }
      : notice.kind === 'update'
        ? { channel: standing.place, ts: standing.message }
        : { channel: channel.to };
    return {
      url: new URL(method, baseUrl(channel)).href,
      headers: { 'content-type': JSON_TYPE, authorization: `Bearer ${token}` },
      body: JSON.stringify({ ...place, ...content, unfurl_links: false, unfurl_media: false }),
    };
  },
  read: readAnswer,
};

const reminder = ({ event, repeat }: Notice) => ({
  text: escaped(
    `${repeat ? 'Maybe a repeat. ' : ''}${standingOf(event.event, event.by, event.value)}`,
  ),
});

function message(notice: Notice, around: Around) {
  const { event, repeat } = notice;
  const { summary } = event.value;
  const status = standingOf(event.event, event.by, event.value);
  const repeated = repeat ? ['This message may be a repeat.'] : [];
  return {
    text: escaped(shown(`${titleOf(summary)}. ${status}`, 300)),
    blocks: [
      { type: 'header', text: plain(`Approval needed (${summary.risk} risk)`) },
      ...(summary.effect === ''
        ? []
        : [{ type: 'section', text: plain(quoted(summary.effect, EFFECT_MAX)) }]),
      {
        type: 'section',
        fields: factsOf(summary).map(([label, text]) => plain(`${label}: ${text}`)),
      },
      { type: 'context', elements: [status, UNTRUSTED, ...repeated].map(plain) },
      ...(isEnd(event.event) ? [] : [{ type: 'actions', elements: actions(notice, around) }]),
    ],
  };
}

function actions(notice: Notice, { channel, link, nonce }: Around) {
  const open = {
    type: 'button',
    action_id: 'open',
    text: plain('Open'),
    url: link,
  };
  if (!hasButtons(notice, channel)) return [open];
  const value = `${notice.approval}.${nonce}`;
  const button = (id: string, text: string, style: string) => ({
    type: 'button',
    action_id: id,
    text: plain(text),
    style,
    value,
    confirm: {
      title: plain(`${text}?`),
      text: plain('It counts at once and is recorded under your name.'),
      confirm: plain(text),
      deny: plain('Back'),
    },
  });
  return [button('approve', 'Approve', 'primary'), button('deny', 'Decline', 'danger'), open];
}

/** Errors of Slack's methods that pass by themselves. */
const PASSING = new Set([
  'ratelimited',
  'rate_limited',
  'message_limit_exceeded',
  'fatal_error',
  'internal_error',
  'service_unavailable',
  'request_timeout',
  'team_added_to_org',
]);

function readAnswer(answer: Parameters<Vendor['read']>[0], now: number): Result {
  if (answer.status !== 200) {
    const fault = `answered ${answer.status}`;
    const passing = answer.status === 429 || answer.status >= 500;
    return passing
      ? { is: 'later', afterMs: retryAfterMs(answer, now), fault }
      : { is: 'never', fault };
  }
  const { ok, error = 'no error named', channel: place, ts: message } = parse(answer.text);
  if (ok === true && typeof place === 'string' && typeof message === 'string')
    return { is: 'sent', standing: { place, message } };
  const fault = `Slack: ${shown(String(error), 100)}`;
  return ok === false && !PASSING.has(String(error))
    ? { is: 'never', fault }
    : { is: 'later', afterMs: retryAfterMs(answer, now), fault };
}

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {}; // something else answered in Slack's place
  }
}
