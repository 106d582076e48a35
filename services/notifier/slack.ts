/**
 * Slack: one message for a held call and those like it, changed in place as they go on; reminders stand in its thread.
 * @see https://docs.slack.dev/reference/block-kit/blocks for the limits
 */
import { hasButtons } from './buttons.ts';
import { baseUrl } from './channels.ts';
import {
  type Around,
  type Call,
  JSON_TYPE,
  NoSecret,
  type Notice,
  type Result,
  retryAfterMs,
  type Vendor,
} from './vendor.ts';
import {
  factsOf,
  headingOf,
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
  groups: true,
  // A change of a message that stands is the same however often it comes.
  repeatable: (_, { standing, again }) => standing.message !== '' && !again,
  make: async (notice, around) => {
    const { channel, standing, again } = around;
    const stands = standing.message !== '';
    if (notice.kind === 'update' && !stands) return undefined;
    const token = await around.secret('token');
    if (token === '') throw new NoSecret('no token');
    const method = stands && !again ? 'chat.update' : 'chat.postMessage';
    const content = stands && again ? reminder(notice, around) : message(notice, around);
    const place = !stands
      ? { channel: channel.to }
      : again
        ? { channel: standing.place, thread_ts: standing.message, reply_broadcast: true }
        : { channel: standing.place, ts: standing.message };
    return {
      url: new URL(method, baseUrl(channel)).href,
      headers: { 'content-type': JSON_TYPE, authorization: `Bearer ${token}` },
      body: JSON.stringify({ ...place, ...content, unfurl_links: false, unfurl_media: false }),
    };
  },
  read: readAnswer,
};

const statusOf = ({ event }: Call): string => standingOf(event.event, event.by, event.value);

function reminder(notice: Notice, { calls }: Around) {
  const open = calls.filter(({ event }) => !isEnd(event.event)).length;
  const others = open > 1 ? ` ${open} calls of this message wait.` : '';
  return {
    text: escaped(`${notice.repeat ? 'Maybe a repeat. ' : ''}${statusOf(notice)}${others}`),
  };
}

function message(notice: Notice, around: Around) {
  const { repeat } = notice;
  const { calls } = around;
  const { summary } = notice.event.value;
  const many = calls.length > 1;
  const count = many ? `: ${calls.length} similar calls` : '';
  const text = many
    ? `${titleOf(summary)} (${calls.length} similar calls)`
    : `${titleOf(summary)}. ${statusOf(notice)}`;
  const repeated = repeat ? ['This message may be a repeat.'] : [];
  return {
    text: escaped(shown(text, 300)),
    blocks: [
      { type: 'header', text: plain(`${headingOf(summary)}${count}`) },
      ...(many ? manyCalls(calls, around) : oneCall(calls[0] ?? notice, around)),
      { type: 'context', elements: [UNTRUSTED, ...repeated].map(plain) },
    ],
  };
}

function oneCall(call: Call, around: Around) {
  const { summary } = call.event.value;
  return [
    ...(summary.effect === ''
      ? []
      : [{ type: 'section', text: plain(quoted(summary.effect, EFFECT_MAX)) }]),
    {
      type: 'section',
      fields: factsOf(summary).map(([label, text]) => plain(`${label}: ${text}`)),
    },
    { type: 'context', elements: [plain(statusOf(call))] },
    ...actions(call, around),
  ];
}

/** What all have in common once, then each with its own effect, state and buttons. */
function manyCalls(calls: readonly Call[], around: Around) {
  const common = factsOf((calls[0] as Call).event.value.summary).filter(([label]) =>
    COMMON.has(label),
  );
  return [
    { type: 'section', fields: common.map(([label, text]) => plain(`${label}: ${text}`)) },
    ...calls.flatMap((call, index) => {
      const { summary } = call.event.value;
      const effect = summary.effect === '' ? '(no words)' : quoted(summary.effect, EFFECT_MAX);
      const own = factsOf(summary).filter(([label]) => !COMMON.has(label));
      const facts = own.map(([label, text]) => `${label}: ${text}`).join(' · ');
      return [
        {
          type: 'section',
          text: plain(`${index + 1}. ${effect}\n${facts}\n${statusOf(call)}`),
        },
        ...actions(call, around),
      ];
    }),
  ];
}

const COMMON: ReadonlySet<string> = new Set(['Tool', 'Agent', 'Risk']);

function actions(call: Call, { channel, link, nonce }: Around) {
  if (isEnd(call.event.event)) return [];
  const open = {
    type: 'button',
    action_id: 'open',
    text: plain('Open'),
    url: link(call.approval),
  };
  if (!hasButtons(call, channel)) return [{ type: 'actions', elements: [open] }];
  const value = `${call.approval}.${nonce(call)}`;
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
  const elements = [
    button('approve', 'Approve', 'primary'),
    button('deny', 'Decline', 'danger'),
    open,
  ];
  return [{ type: 'actions', elements }];
}

/** Errors about one message, not about its channel. */
const ALONE = new Set([
  'message_not_found',
  'cant_update_message',
  'edit_window_closed',
  'thread_not_found',
  'msg_too_long',
  'invalid_blocks',
  'invalid_blocks_format',
]);

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
  if (ok !== false || PASSING.has(String(error)))
    return { is: 'later', afterMs: retryAfterMs(answer, now), fault };
  return ALONE.has(String(error)) ? { is: 'never', fault, alone: true } : { is: 'never', fault };
}

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {}; // something else answered in Slack's place
  }
}
