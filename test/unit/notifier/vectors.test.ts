// What vendors publish about their signatures, and what must not be reached from here.

import { createHmac } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import { SLACK_EXAMPLE, signSlack } from '#test/support/fake-slack.ts';

import { isPublic, poster, TargetRefused } from '../../../services/notifier/outgoing.ts';
import { pagerdutySigned, slackSigned } from '../../../services/notifier/signatures.ts';
import { retryAfterMs, webhookKey, webhookSignature } from '../../../services/notifier/vendor.ts';
import { shown } from '../../../services/notifier/words.ts';

const callback = (headers: Readonly<Record<string, string>>, body: string) => ({
  path: '',
  header: (name: string) => headers[name] ?? '',
  body: Buffer.from(body),
});

describe('signatures', () => {
  const { secret, timestamp, body, signature } = SLACK_EXAMPLE;
  const headers = { 'x-slack-request-timestamp': timestamp, 'x-slack-signature': signature };
  const at = Number(timestamp) * 1_000;

  it("are Slack's own example's, by the stand-in and by the notifier, for five minutes", () => {
    expect(signSlack(secret, timestamp, body)).toBe(signature);
    const signed = (now: number) => slackSigned(callback(headers, body), [secret], now);
    expect([at - 300_000, at, at + 300_000].map(signed)).toEqual(Array(3).fill({ key: signature }));
    expect([at - 300_001, at + 300_001].map(signed)).toEqual(['unsigned', 'unsigned']);
  });

  it("are those of Standard Webhooks' own example", () => {
    const key = webhookKey('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
    const given = {
      id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      timestamp: '1614265330',
      body: '{"test": 2432232314}',
    };
    expect(key && webhookSignature(key, given)).toBe(
      'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    );
  });

  it('of PagerDuty are a list, one of which has to fit', () => {
    const mac = (key: string) => `v1=${createHmac('sha256', key).update('{}').digest('hex')}`;
    const signed = (header: string) =>
      pagerdutySigned(callback({ 'x-pagerduty-signature': header }, '{}'), ['new', 'old']);
    expect([`${mac('else')},${mac('old')}`, mac('new'), mac('else'), ''].map(signed)).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });
});

describe('a target', () => {
  const inside = [
    '127.0.0.1',
    '10.1.2.3',
    '172.31.0.1',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '0.0.0.0',
    '224.0.0.1',
    '255.255.255.255',
    '198.18.0.1',
    '::1',
    '::',
    'fe80::1',
    'fd00::1',
    '::ffff:127.0.0.1',
    '::ffff:8.8.8.8',
    '64:ff9b::7f00:1',
    '2002:7f00:1::',
    'ff02::1',
  ];
  it.each(inside)('is not %s', (address) => expect(isPublic(address)).toBe(false));
  it.each(['8.8.8.8', '172.32.0.1', '2606:4700::1111'])('may be %s', (address) =>
    expect(isPublic(address)).toBe(true),
  );

  const literal = (address: string) =>
    `https://${address.includes(':') ? `[${address}]` : address}/`;
  it.each(
    [
      'https://2130706433/',
      'https://0x7f.1/',
      'https://0177.0.0.1/',
      'http://example.com/',
      'https://user:secret@example.com/',
      'file:///etc/passwd',
      'nonsense',
    ].concat(inside.map(literal)),
  )('%s is refused before anything is sent', async (url) => {
    const post = poster(new Set());
    await expect(post({ url, headers: {}, body: '' })).rejects.toThrow(TargetRefused);
  });

  it('is refused as soon as one of its addresses is forbidden', async () => {
    const post = poster(new Set(), async () => [
      { address: '8.8.8.8', family: 4 },
      { address: '127.0.0.1', family: 4 },
    ]);
    const outgoing = { url: 'https://rebind.example/', headers: {}, body: '' };
    await expect(post(outgoing)).rejects.toThrow(TargetRefused);
  });
});

describe('words', () => {
  it('show what hides, and are cut', () => {
    expect(shown('a\u202Eb\n', 64)).toBe('a\\u{202e}b\\u{a}');
    expect(shown('x'.repeat(99), 10)).toBe(`${'x'.repeat(9)}…`);
  });

  it('of Retry-After are seconds or a date', () => {
    const wait = (retryAfter: string) => retryAfterMs({ retryAfter }, 0);
    expect(['30', 'Thu, 01 Jan 1970 00:00:30 GMT', '', '-1', '9999999'].map(wait)).toEqual([
      30_000, 30_000, 0, 0, 3_600_000,
    ]);
  });
});
