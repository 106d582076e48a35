/**
 * The demo's chat: stands in for Slack. Shows what people are asked as Slack would get it, on a page of its own, and
 * makes the signed clicks that Slack would make. On loopback only; nobody signs in, which is why it is a demo.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { Type, type Static } from 'typebox';

import { CHAT_CHANNEL, CHAT_PEOPLE } from '#cli/local/chat.ts';
import { Port, readConfig } from '#host/config.ts';
import { serveHealth } from '#host/health.ts';
import { run, type Running } from '#host/run.ts';
import { type Received, type Reply } from '#test/support/fake-http.ts';
import {
  buttonsOf,
  type FakeSlack,
  type SlackBlock,
  type SlackMessage,
  startFakeSlack,
} from '#test/support/fake-slack.ts';

const ChatConfig = Type.Object({
  COUNTERSIGN_CHAT_PORT: Port('Port of the page.'),
  COUNTERSIGN_CHAT_SECRETS_DIR: Type.String({ minLength: 1 }),
  COUNTERSIGN_CHAT_CALLBACKS_URL: Type.String({ minLength: 1 }),
  COUNTERSIGN_HEALTH_PORT: Port('Port of its health.'),
});

export async function start(config: Static<typeof ChatConfig>): Promise<Running> {
  const secret = (what: string) =>
    readFileSync(
      join(config.COUNTERSIGN_CHAT_SECRETS_DIR, 'demo', `${CHAT_CHANNEL}.${what}`),
      'utf8',
    ).trim();
  const callbacks = `${config.COUNTERSIGN_CHAT_CALLBACKS_URL}/v1/callbacks/slack/demo/${CHAT_CHANNEL}`;
  const slack = await startFakeSlack({
    token: secret('token'),
    signingSecret: secret('signing'),
    port: config.COUNTERSIGN_CHAT_PORT,
    otherwise: (received, fake) => page(received, fake, callbacks),
  });
  const health = await serveHealth(config.COUNTERSIGN_HEALTH_PORT, {});
  return {
    stop: async () => {
      await health.close();
      await slack.close();
    },
  };
}

async function page(received: Received, slack: FakeSlack, callbacks: string): Promise<Reply> {
  const { method, path, headers, body } = received;
  // A page of another origin must not click, also where its name resolves to this machine.
  if (headers.host !== slack.target) return { status: 403 };
  if (method === 'GET' && path === '/') return html(render(slack));
  if (method === 'GET' && path.startsWith('/wait/')) return waitFor(slack, path.slice(6));
  if (method !== 'POST' || path !== '/click' || headers.origin !== slack.url)
    return { status: 404 };
  const form = new URLSearchParams(body);
  const [ts = '', action = '', user = '', value = ''] = ['ts', 'action', 'user', 'value'].map(
    (name) => form.get(name) ?? '',
  );
  const clicked = buttonsOf(find(slack, ts)).some(
    (one) => one.action_id === action && one.value === value,
  );
  if (!(user in CHAT_PEOPLE) || !clicked) return { status: 404 };
  await fetch(callbacks, { method: 'POST', ...slack.click(ts, action, user, value) }).catch(
    () => undefined, // the notifier is away: the page shows that nothing changed
  );
  return { status: 303, headers: { location: '/' } };
}

const WAIT_MS_MAX = 30_000;

/** Answers once a message says the text, such as the id of a held call: for scripts and measurements. */
async function waitFor(slack: FakeSlack, text: string): Promise<Reply> {
  for (const until = Date.now() + WAIT_MS_MAX; Date.now() < until; await sleep(2)) {
    const newest = slack.messages().toReversed();
    if (newest.some(({ blocks }) => JSON.stringify(blocks).includes(text))) return { status: 204 };
  }
  return { status: 404 };
}

const find = (slack: FakeSlack, ts: string) => slack.messages().find((one) => one.ts === ts);

const html = (body: string): Reply => ({
  status: 200,
  headers: {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy':
      "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    'x-content-type-options': 'nosniff',
    'cache-control': 'no-store',
  },
  body,
});

/** Slack's three entities are those of HTML; quotes stand in attributes. */
const safe = (text: string) => text.replaceAll('"', '&quot;').replaceAll("'", '&#39;');
const escaped = (text: string) =>
  safe(text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;'));

function render(slack: FakeSlack): string {
  const messages = [...slack.messages()].reverse().map(renderMessage).join('\n');
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="3">
<meta name="viewport" content="width=device-width"><title>Demo chat</title>
<style>body{font:15px/1.5 system-ui;max-width:42rem;margin:2rem auto;padding:0 1rem}article{border:1px solid #8886;border-radius:8px;padding:.5rem 1rem;margin:1rem 0}form{display:inline}h2{font-size:1.1rem}small{opacity:.7}</style>
<h1>Demo chat</h1><p>Stands in for Slack. Whoever can open this page can click: it is a demo.</p>
${messages === '' ? '<p>Nobody is asked anything.</p>' : messages}
${slack.whispers
  .slice(-3)
  .map((text) => `<p><small>Only you can see this: ${escaped(text)}</small></p>`)
  .join('')}`;
}

const renderMessage = (message: SlackMessage): string =>
  `<article>${message.blocks.map((block) => renderBlock(block, message)).join('')}${message.blocks.length === 0 ? `<p>${safe(message.text)}</p>` : ''}</article>`;

function renderBlock(block: SlackBlock, message: SlackMessage): string {
  const words = (text: unknown) =>
    safe((text as { text?: string } | undefined)?.text ?? '').replaceAll('\n', '<br>');
  const list = (texts: unknown) => ((texts ?? []) as unknown[]).map(words);
  switch (block.type) {
    case 'header':
      return `<h2>${words(block['text'])}</h2>`;
    case 'section':
      return `<p>${[words(block['text']), ...list(block['fields'])].filter(Boolean).join('<br>')}</p>`;
    case 'context':
      return `<p><small>${list(block['elements']).join('<br>')}</small></p>`;
    default:
      return `<p>${buttonsOf(message)
        .map((button) => renderButton(button, message.ts))
        .join(' ')}</p>`;
  }
}

function renderButton(
  { action_id: action, text, url, value = '' }: ReturnType<typeof buttonsOf>[number],
  ts: string,
): string {
  if (url !== undefined) return `<a href="${escaped(url)}">${safe(text.text)}</a>`;
  return Object.entries(CHAT_PEOPLE)
    .map(
      ([
        user,
        name,
      ]) => `<form method="post" action="/click"><input type="hidden" name="ts" value="${ts}">
<input type="hidden" name="action" value="${escaped(action)}"><input type="hidden" name="user" value="${user}"><input type="hidden" name="value" value="${escaped(value)}">
<button>${safe(text.text)} as ${name}</button></form>`,
    )
    .join(' ');
}

if (import.meta.main) await run(() => start(readConfig(ChatConfig, process.env)));
