// The stand-ins for vendors take what their vendors publish as an example, and refuse it with one thing changed
// (test/vectors/vendors.json says where each stands; Slack's and Standard Webhooks' are in vectors.test.ts).

import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { startFakePagerDuty, startFakeTeams } from '#test/support/fake-vendors.ts';

import { pagerdutyClick } from '../../../services/notifier/clicks.ts';
import { pagerdutySigned } from '../../../services/notifier/signatures.ts';

interface Vectors {
  readonly pagerduty_webhook: {
    readonly secret: string;
    readonly body: string;
    readonly signature: string;
  };
  readonly pagerduty_event: { readonly event: Readonly<Record<string, unknown>> };
  readonly teams_card: { readonly message: Readonly<Record<string, unknown>> };
}
const vectors = JSON.parse(
  readFileSync(new URL('../../vectors/vendors.json', import.meta.url), 'utf8'),
) as Vectors;

const send = async (url: string, body: object): Promise<number> => {
  const headers = { 'content-type': 'application/json' };
  return (await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })).status;
};

describe('PagerDuty', () => {
  const { secret, body, signature } = vectors.pagerduty_webhook;
  const callback = (given: string, text = body) => ({
    path: '',
    header: (name: string) => (name === 'x-pagerduty-signature' ? given : ''),
    body: Buffer.from(text),
  });

  it('signs its webhooks as the notifier checks them', () => {
    const [other, more] = [`v1=${'0'.repeat(64)}`, `${body} `];
    const signed = [
      callback(signature),
      callback(`${other},${signature}`),
      callback(other),
      callback(signature.replace('v1', 'v2')),
      callback(signature, more),
    ].map((given) => pagerdutySigned(given, [secret]));
    expect(signed).toEqual([true, true, false, false, false]);
    expect(pagerdutyClick(callback(signature))).toEqual({
      id: '01BWDWL3NYY7LUFPZCC28QUCMK',
      at: 1_619_458_587.458,
      click: 'nothing',
    });
  });

  it('takes its own example of an event', async () => {
    const { event } = vectors.pagerduty_event;
    const fake = await startFakePagerDuty('samplekeyhere');
    const url = `${fake.url}/v2/enqueue`;
    const changed = [{ routing_key: 'other' }, { event_action: 'page' }, { payload: {} }];
    const statuses = [await send(url, event)];
    for (const change of changed) statuses.push(await send(url, { ...event, ...change }));
    expect([statuses, fake.taken]).toEqual([[202, 400, 400, 400], [event]]);
    await fake.close();
  });
});

it('Teams takes the example of Microsoft', async () => {
  const { message } = vectors.teams_card;
  const fake = await startFakeTeams();
  const changed = [{ type: 'card' }, { attachments: [] }];
  const statuses = [await send(fake.url, message)];
  for (const change of changed) statuses.push(await send(fake.url, { ...message, ...change }));
  expect(statuses).toEqual([202, 400, 400]);
  await fake.close();
});
