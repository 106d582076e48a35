// Stands in for Slack, as strict as it: token, content type, limits of blocks, one message a second for each
// conversation after a short burst, and clicks signed as Slack documents it.
// https://docs.slack.dev/reference/block-kit/blocks, .../methods/chat.postMessage, .../apis/web-api/rate-limits,
// .../authentication/verifying-requests-from-slack

import { createHmac } from 'node:crypto';

import { type FakeServer, json, type Received, type Reply, serveFake } from './fake-http.ts';

/** Slack's own example of a signature, from its page about verifying requests. */
export const SLACK_EXAMPLE = {
  secret: '8f742231b10e8888abcd99yyyzzz85a5',
  timestamp: '1531420618',
  body: 'token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c',
  signature: 'v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503',
} as const;

/** The signature of a request. */
export const signSlack = (secret: string, timestamp: string, body: string): string =>
  `v0=${createHmac('sha256', secret).update(`v0:${timestamp}:${body}`).digest('hex')}`;

export interface SlackBlock {
  readonly type: string;
  readonly [property: string]: unknown;
}
export interface SlackMessage {
  readonly ts: string;
  readonly channel: string;
  readonly threadTs: string;
  readonly text: string;
  readonly blocks: readonly SlackBlock[];
  readonly edits: number;
}
export interface SlackButton {
  readonly action_id: string;
  readonly value?: string;
  readonly url?: string;
  readonly text: { readonly text: string };
}

export interface FakeSlack extends FakeServer {
  /** Base address of its methods. */
  readonly api: string;
  readonly messages: () => readonly SlackMessage[];
  /** The same as they were posted, before any change. */
  readonly posts: readonly SlackMessage[];
  /** What was told to one person, by response_url. */
  readonly whispers: readonly string[];
  /** Answers that were refusals, newest last. */
  readonly refused: readonly string[];
  /** How often it was asked for more than its rate. */
  readonly limited: () => number;
  /** The next requests are answered so, one each. away: the connection ends. lost: so it does, but the message stands. */
  readonly failNext: (...replies: readonly (Reply | 'away' | 'lost')[]) => void;
  /** The signed request that a click makes. */
  readonly click: (
    ts: string,
    action: string,
    user: string,
    /** Part of the button's value, where several have the same action. */
    of?: string,
  ) => { readonly body: string; readonly headers: Record<string, string> };
}

const TYPES = new Set(['header', 'section', 'context', 'actions', 'divider', 'rich_text']);

/** Starts it. @param burst messages of one conversation at once before one a second */
export async function startFakeSlack(options: {
  readonly token: string;
  readonly signingSecret: string;
  readonly burst?: number;
  readonly port?: number;
  /** Anything that is none of its methods. */
  readonly otherwise?: (received: Received, slack: FakeSlack) => Reply | Promise<Reply>;
}): Promise<FakeSlack> {
  const { token, signingSecret, burst = 20 } = options;
  const messages = new Map<string, SlackMessage>();
  const posts: SlackMessage[] = [];
  const whispers: string[] = [];
  const refused: string[] = [];
  const failing: (Reply | 'away' | 'lost')[] = [];
  const rate = new Map<string, { tokens: number; at: number }>();
  let number = 0;
  let tooMany = 0;

  const limited = (channel: string): boolean => {
    const now = Date.now();
    const before = rate.get(channel) ?? { tokens: burst, at: now };
    const tokens = Math.min(burst, before.tokens + (now - before.at) / 1_000);
    rate.set(channel, { tokens: tokens < 1 ? tokens : tokens - 1, at: now });
    return tokens < 1;
  };
  const no = (error: string, detail = ''): Reply => {
    refused.push(detail === '' ? error : `${error}: ${detail}`);
    return json(200, { ok: false, error });
  };
  const method = (name: string, { headers, body }: Received): Reply => {
    if (headers.authorization !== `Bearer ${token}`) return no('invalid_auth');
    if (!/^application\/json; ?charset=utf-8$/i.test(headers['content-type'] ?? ''))
      return no('invalid_post_type');
    const sent = parse(body);
    if (sent === undefined) return no('invalid_json');
    const { channel, text = '', blocks = [] } = sent;
    if (typeof channel !== 'string' || !/^[CDG][A-Z0-9]{2,24}$/.test(channel))
      return no('channel_not_found');
    const fault = faultOf(text, blocks);
    if (fault !== '')
      return no(fault.startsWith('text') ? 'msg_too_long' : 'invalid_blocks', fault);
    if (limited(channel)) {
      tooMany += 1;
      return json(429, { ok: false, error: 'ratelimited' }, { 'retry-after': '1' });
    }
    const content = { channel, text: String(text), blocks: blocks as SlackBlock[] };
    if (name === 'chat.postMessage') {
      number += 1;
      const ts = `${Math.floor(Date.now() / 1_000)}.${String(number).padStart(6, '0')}`;
      const { thread_ts: threadTs = '' } = sent;
      if (threadTs !== '' && !messages.has(String(threadTs))) return no('thread_not_found');
      const message = { ts, threadTs: String(threadTs), edits: 0, ...content };
      messages.set(ts, message);
      posts.push(message);
      return json(200, { ok: true, channel, ts });
    }
    const before = messages.get(String(sent['ts']));
    if (before === undefined || before.channel !== channel) return no('message_not_found');
    messages.set(before.ts, { ...before, ...content, edits: before.edits + 1 });
    return json(200, { ok: true, channel, ts: before.ts });
  };
  const server = await serveFake(async (received) => {
    const failed = failing.shift();
    if (failed === 'away') throw new Error('cut off');
    if (typeof failed === 'object') return failed;
    const [, name] = /^\/api\/(chat\.(?:postMessage|update))$/.exec(received.path) ?? [];
    if (received.method === 'POST' && name !== undefined) {
      const reply = method(name, received);
      if (failed === 'lost') throw new Error('cut off');
      return reply;
    }
    if (received.method === 'POST' && received.path.startsWith('/actions/')) {
      whispers.push(received.body);
      return { status: 200, body: 'ok' };
    }
    return (await options.otherwise?.(received, slack)) ?? { status: 404 };
  }, options.port);

  const slack: FakeSlack = {
    ...server,
    api: `${server.url}/api/`,
    messages: () => [...messages.values()],
    posts,
    whispers,
    refused,
    limited: () => tooMany,
    failNext: (...replies) => void failing.push(...replies),
    click: (ts, action, user, of = '') => {
      const message = messages.get(ts);
      const button = buttonsOf(message).find(
        ({ action_id: id, value = '' }) => id === action && value.includes(of),
      );
      if (message === undefined || button === undefined) throw new Error('no such button');
      const payload = {
        type: 'block_actions',
        user: { id: user, username: user.toLowerCase(), team_id: 'T00DEMO' },
        api_app_id: 'A00DEMO',
        container: { type: 'message', message_ts: ts, channel_id: message.channel },
        trigger_id: '1.2.3',
        team: { id: 'T00DEMO', domain: 'demo' },
        channel: { id: message.channel, name: 'demo' },
        response_url: `${server.url}/actions/T00DEMO/1/abc`,
        actions: [{ type: 'button', block_id: 'b', action_ts: ts, ...button }],
      };
      const body = new URLSearchParams({ payload: JSON.stringify(payload) }).toString();
      const timestamp = String(Math.floor(Date.now() / 1_000));
      return {
        body,
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          'x-slack-request-timestamp': timestamp,
          'x-slack-signature': signSlack(signingSecret, timestamp, body),
        },
      };
    },
  };
  return slack;
}

/** The buttons of a message. */
export const buttonsOf = (message: SlackMessage | undefined): readonly SlackButton[] =>
  (message?.blocks ?? [])
    .filter(({ type }) => type === 'actions')
    .flatMap(({ elements }) => elements as SlackButton[]);

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

const TEXT_MAX = 40_000;
const BLOCKS_MAX = 50;

/** What Slack would refuse, '' for nothing. */
function faultOf(text: unknown, blocks: unknown): string {
  if (typeof text !== 'string' || text.length > TEXT_MAX) return 'text';
  if (!Array.isArray(blocks) || blocks.length > BLOCKS_MAX) return 'blocks';
  return (blocks as SlackBlock[]).map(blockFault).find((fault) => fault !== '') ?? '';
}

function blockFault(block: SlackBlock): string {
  const { type, text, fields, elements } = block;
  if (!TYPES.has(type)) return `a block of type ${type}`;
  if (type === 'header') return textFault(text, 150, ['plain_text']);
  if (type === 'section') {
    if (text === undefined && fields === undefined) return 'a section of nothing';
    return text === undefined ? '' : textFault(text, 3_000) || listFault(fields, 10, 2_000);
  }
  if (type === 'context') return listFault(elements, 10, 3_000);
  return type === 'actions' ? actionsFault(elements) : '';
}

function textFault(text: unknown, max: number, types = ['plain_text', 'mrkdwn']): string {
  const { type, text: words } = (text ?? {}) as { type?: string; text?: string };
  if (type === undefined || !types.includes(type)) return 'a text of no type';
  if (typeof words !== 'string' || words.length < 1 || words.length > max) return 'length';
  // Slack reads these everywhere; only as entities they are text.
  return /[<>]|&(?!amp;|lt;|gt;)/.test(words) ? 'text that is not escaped' : '';
}

function listFault(texts: unknown, max: number, length: number): string {
  if (texts === undefined) return '';
  if (!Array.isArray(texts) || texts.length < 1 || texts.length > max) return 'too many';
  return texts.map((text) => textFault(text, length)).find((fault) => fault !== '') ?? '';
}

function actionsFault(elements: unknown): string {
  if (!Array.isArray(elements) || elements.length < 1 || elements.length > 25) return 'elements';
  const ids = new Set<string>();
  for (const { action_id: id, text, value = '', url = '' } of elements as SlackButton[]) {
    if (typeof id !== 'string' || id.length > 255 || ids.has(id)) return 'action_id';
    ids.add(id);
    if (textFault(text, 75, ['plain_text']) !== '') return 'text of a button';
    if (value.length > 2_000 || url.length > 3_000) return 'value of a button';
  }
  return '';
}
