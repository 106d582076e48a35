import { expect, it } from 'vitest';

import { decodeAnswers, type WorkerAnswer } from '#contracts/call.ts';

import { createOutbox } from '../../../services/decision-worker/outbox.ts';

const answer = (n: number, chars = 500): WorkerAnswer => ({
  n,
  kind: 'visible',
  agent: 'ä'.repeat(chars),
  principal: '',
  tools: [],
});

const turn = () => new Promise((resolve) => setImmediate(resolve));

function sending() {
  const sent: { to: string; message: string }[] = [];
  const outbox = createOutbox((to, message) => void sent.push({ to, message }));
  const numbers = () => sent.map(({ message }) => decodeAnswers(message).map(({ n }) => n));
  return { sent, outbox, numbers };
}

it('sends the answers of one turn as one message for each ingress', async () => {
  const { sent, outbox, numbers } = sending();
  outbox.put('_INBOX.ingress.a.1', answer(1));
  outbox.put('_INBOX.ingress.b.1', answer(7));
  outbox.put('_INBOX.ingress.a.2', answer(2));
  expect(sent).toEqual([]);
  await turn();
  outbox.put('_INBOX.ingress.a.3', answer(3));
  await turn();
  expect(sent.map(({ to }) => to)).toEqual([
    '_INBOX.ingress.a.1',
    '_INBOX.ingress.b.1',
    '_INBOX.ingress.a.3',
  ]);
  expect(numbers()).toEqual([[1, 2], [7], [3]]);
});

it('never makes a message that the broker refuses, however many answers come at once', async () => {
  const { sent, outbox, numbers } = sending();
  for (let n = 0; n < 5_000; n += 1) outbox.put('_INBOX.ingress.a.1', answer(n));
  outbox.put('_INBOX.ingress.a.1', answer(5_000, 300_000));
  await turn();
  expect(Math.max(...sent.map(({ message }) => Buffer.byteLength(message)))).toBeLessThan(1 << 20);
  expect(
    numbers()
      .flat()
      .sort((a, b) => a - b),
  ).toEqual(Array.from({ length: 5_001 }, (_, n) => n));
});
