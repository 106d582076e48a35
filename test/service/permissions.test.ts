// What the broker itself refuses, and what only the MAC shows: NATS permissions check the subject a client publishes
// to, not where the reply to a request is sent.

import { readFile } from 'node:fs/promises';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { artefacts } from '#contracts/generate.ts';
import { checkMac, macHeader } from '#contracts/mac.ts';
import { permissions } from '#contracts/permissions.ts';
import { HEADERS, SUBJECTS } from '#contracts/subjects.ts';
import { type Bus, newHeaders } from '#host/nats.ts';

import { startWorld, type World } from '../support/world.ts';

let world: World;
let ingress: Bus;
beforeAll(async () => {
  world = await startWorld({ workers: 0 });
  ingress = await world.bus('ingress');
});
afterAll(() => world.close());

const stored = async () => (await world.operator.jsm.streams.info('DECISIONS')).state.messages;

describe('the shipped configuration', () => {
  it('is what the contracts derive', async () => {
    const file = await readFile(new URL('../../compose/nats.conf', import.meta.url), 'utf8');
    expect(file).toBe(artefacts()['compose/nats.conf']);
  });

  it('lets only the decision worker publish decisions', () => {
    const writers = Object.entries(permissions())
      .filter(([user]) => user !== 'operator')
      .filter(([, { publish }]) => publish.some((subject) => subject.startsWith('v1.decision')))
      .map(([user]) => user);
    expect(writers).toEqual(['decision-worker']);
  });
});

describe('the broker', () => {
  it.each([
    ['a decision', SUBJECTS.decisionBatch(0)],
    ['a use of an approval', 'v1.use.acme.x.1'],
    ['a control event', SUBJECTS.control(world?.tenant ?? ('acme' as never), 'policy')],
    ['a kill switch', '$KV.control.switch.global'],
    ['a budget counter', 'v1.count.hour.acme.tenant.0'],
  ])('refuses %s from the ingress', async (_name, subject) => {
    const before = await stored();
    await expect(ingress.js.publish(subject, '{}', { timeout: 2_000 })).rejects.toThrow(
      /permission/i,
    );
    expect(await stored()).toBe(before);
  });

  it('does not see a record smuggled by a reply subject; its missing MAC does', async () => {
    const before = await stored();
    ingress.publish('$JS.API.INFO', '', SUBJECTS.decisionBatch(0));
    await expect.poll(stored).toBe(before + 1);
    const message = await world.operator.jsm.streams.getMessage('DECISIONS', { seq: before + 1 });
    const header = message?.header.get(HEADERS.mac) ?? '';
    const { subject = '', data: body = '' } = message ?? {};
    expect(checkMac(new Map(), { subject, body, header })).toEqual({ fault: 'missing' });
  });
});

describe('a MAC', () => {
  const key = Buffer.alloc(32, 7);
  const keys = new Map([
    ['decision-worker', [key]],
    ['ingress', [Buffer.alloc(32, 8)]],
  ]);
  const subject = SUBJECTS.decisionBatch(0);
  const body = '{"a":1}\n{}\n';
  const header = macHeader('decision-worker', key, { subject, body });
  it.each([
    ['right', { subject, body, header }, { writer: 'decision-worker' }],
    ['other body', { subject, body: `${body} `, header }, { fault: 'wrong' }],
    ['other subject', { subject: SUBJECTS.decisionBatch(1), body, header }, { fault: 'wrong' }],
    [
      'writer that may not write here',
      { subject, body, header: macHeader('ingress', Buffer.alloc(32, 8), { subject, body }) },
      { fault: 'wrong_writer' },
    ],
    [
      'unknown key',
      {
        subject,
        body,
        header: macHeader('decision-worker', Buffer.alloc(32, 9), { subject, body }),
      },
      { fault: 'unknown_key' },
    ],
    ['no header', { subject, body, header: '' }, { fault: 'missing' }],
    ['not a MAC', { subject, body, header: 'decision-worker:x' }, { fault: 'malformed' }],
  ])('%s', (_name, message, expected) => {
    expect(checkMac(keys, message)).toEqual(expected);
  });
});

describe('headers on the bus', () => {
  it('carry the MAC to the reader', async () => {
    const worker = await world.bus('decision-worker');
    const headers = newHeaders();
    headers.set(HEADERS.mac, 'decision-worker:00000000:00');
    const ack = await worker.js.publish(SUBJECTS.decisionBatch(0), 'x', { headers });
    const message = await world.operator.jsm.streams.getMessage('DECISIONS', { seq: ack.seq });
    expect(message?.header.get(HEADERS.mac)).toBe('decision-worker:00000000:00');
  });
});
