// The way of a call to a worker and back: every way it can fail is a refusal of its own, in time, and no allow counts
// that nobody waited for.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import type { CallLines, WorkerAnswer } from '#contracts/call.ts';

import { type Asking, createAsk, type Question } from '../../../services/ingress/ask.ts';
import {
  allowAll,
  allowed,
  type Handle,
  identity,
  startIngress,
  type TestIngress,
  TENANT,
} from '../../support/ingress.ts';

let world: TestIngress;
let asking: Asking;
let strays: number;
const standIns: { readonly stop: () => Promise<void> }[] = [];
beforeAll(async () => {
  world = await startIngress();
});
afterAll(() => world.close());
beforeEach(async () => {
  strays = 0;
  asking = createAsk(await world.ingressBus(), { inFlightMax: 200, onStray: () => strays++ });
});
afterEach(async () => {
  await asking.close();
  for (const standIn of standIns.splice(0)) await standIn.stop();
});

/** A worker until the end of the test. */
const standIn = async (handle: Handle) => void standIns.push(await world.standIn(handle));

const question = (more: Partial<Question> = {}): Question => ({
  ask: 'decide',
  via: 'http',
  tenant: TENANT,
  identity: identity(),
  capability: '',
  tool: 'lookup_order',
  upstream: '',
  forwards: false,
  client: { address: '127.0.0.1', name: '', version: '', era: '' },
  args: '{}',
  deadlineMs: 5_000,
  ...more,
});
const askFor = async (more: Partial<Question> = {}) => outcome(await asking.ask(question(more)));
const outcome = (answer: WorkerAnswer) =>
  answer.kind === 'refused' ? answer.code : answer.kind === 'decided' ? answer.body.verdict : '';
const askMany = (count: number, more: (at: number) => Partial<Question> = () => ({})) =>
  Promise.all(Array.from({ length: count }, (_, at) => askFor(more(at))));
const times = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value);

describe('a call', () => {
  it('reaches a worker whole and gets its answer', async () => {
    const seen: CallLines[] = [];
    await standIn((calls, say) => {
      seen.push(...calls);
      allowAll(calls, say);
    });
    const asked = question({ args: '{"order_id":"A-17"}', call_id: 'c-1', session_id: 's' });
    const { args: _, deadlineMs: __, ...envelope } = asked;
    expect(outcome(await asking.ask(asked))).toBe('allow');
    expect(seen).toEqual([
      {
        envelope: {
          ...envelope,
          v: 1,
          n: 0,
          sent_at: expect.any(Number) as number,
          remaining_ms: expect.any(Number) as number,
        },
        args: '{"order_id":"A-17"}',
      },
    ]);
    expect(seen[0]?.envelope.remaining_ms).toBeLessThanOrEqual(5_000);
  });

  it('without a worker is refused, and not by its deadline', async () => {
    expect(await askFor({ deadlineMs: 10_000 })).toBe('service.no_worker');
  });

  it('is refused when its answer does not come in time, and the late answer counts for nothing', async () => {
    const held: (() => void)[] = [];
    await standIn((calls, say) =>
      held.push(() => say(calls.map(({ envelope }) => allowed(envelope)))),
    );
    expect(await askFor({ deadlineMs: 50 })).toBe('service.timeout');
    held.forEach((release) => release());
    await expect.poll(() => strays).toBe(1);
    expect(asking.inFlight()).toBe(0);
  });

  it('is not allowed by an answer after its deadline that is read before the sweep', async () => {
    const bus = await world.ingressBus();
    const late = createAsk({
      ...bus,
      // The process is held up right when the answer has come.
      subscribe: (subject, options, handle) =>
        bus.subscribe(subject, options, (message) => {
          const until = performance.now() + 100;
          while (performance.now() < until);
          handle(message);
        }),
    });
    await standIn(allowAll);
    expect(outcome(await late.ask(question({ deadlineMs: 80 })))).toBe('service.timeout');
    await late.close();
  });

  it('that was answered is not touched by garbage for the rest of its message', async () => {
    await standIn((calls, say) => {
      say(calls.slice(0, 1).map(({ envelope }) => allowed(envelope)));
      say('garbage');
    });
    expect(await askMany(2)).toEqual(['allow', 'service.malformed_answer']);
    expect(asking.inFlight()).toBe(0);
  });

  it.each([
    ['that is no JSON', 'nonsense\n'],
    ['that is cut off', '{"n":0,"kind":"refused","code":"service.stale","proven":true}'],
    ['that lacks members', '{"n":0,"kind":"decided"}\n'],
    ['with a code of nobody', '{"n":0,"kind":"refused","code":"made.up","proven":true}\n'],
    ['that is empty', ''],
  ])('with an answer %s is refused at once', async (_name, bytes) => {
    await standIn((_, say) => say(bytes));
    expect(await askMany(3)).toEqual(times(3, 'service.malformed_answer'));
  });

  it('is answered once, by the first answer', async () => {
    await standIn((calls, say) => {
      const answer = (verdict: 'allow' | 'block') =>
        calls.map(({ envelope }) => allowed(envelope, { verdict }));
      say(answer('block'));
      say(answer('allow'));
    });
    expect(await askFor()).toBe('block');
    await expect.poll(() => strays).toBe(1);
  });

  it('is not answered by an answer to an unknown number', async () => {
    await standIn((_, say) => say([allowed({ n: 4_711 })]));
    expect(await askFor({ deadlineMs: 100 })).toBe('service.timeout');
    expect(strays).toBe(1);
  });
});

describe('calls of one turn', () => {
  it('travel in one message for each tenant, at most 16 in one', async () => {
    const sizes: Record<string, number[]> = {};
    await standIn((calls, say) => {
      (sizes[calls[0]?.envelope.tenant ?? ''] ??= []).push(calls.length);
      say(calls.map(({ envelope }) => allowed(envelope)));
    });
    const other = 'bolt' as typeof TENANT;
    const asked = await Promise.all([askMany(70), askMany(3, () => ({ tenant: other }))]);
    expect(asked.flat()).toEqual(times(73, 'allow'));
    expect(sizes).toEqual({ acme: [16, 16, 16, 16, 6], bolt: [3] });
  });

  it('that are large travel in several', async () => {
    const sizes: number[] = [];
    await standIn((calls, say) => {
      sizes.push(calls.length);
      say(calls.map(({ envelope }) => allowed(envelope)));
    });
    const args = JSON.stringify('x'.repeat(200_000));
    expect(await askMany(5, () => ({ args }))).toEqual(times(5, 'allow'));
    expect(sizes).toEqual([2, 2, 1]);
  });

  it('are told apart when answers come grouped across messages and backwards', async () => {
    const waiting: { n: number; tool: string }[] = [];
    const replies: ((answers: readonly WorkerAnswer[]) => void)[] = [];
    await standIn((calls, say) => {
      replies.push(say);
      waiting.push(...calls.map(({ envelope: { n, tool } }) => ({ n, tool })));
      if (waiting.length < 70) return;
      // All of them by the reply subject of the first message.
      replies[0]?.(waiting.reverse().map(({ n, tool }) => allowed({ n }, { agent: tool })));
    });
    const answers = await Promise.all(
      Array.from({ length: 70 }, (_, at) => asking.ask(question({ tool: `tool-${at}` }))),
    );
    expect(answers.map((answer) => answer.kind === 'decided' && answer.agent)).toEqual(
      Array.from({ length: 70 }, (_, at) => `tool-${at}`),
    );
  });

  it('beyond the bound are refused at once, and a tenant has at most half of it', async () => {
    const say: (() => void)[] = [];
    await standIn((calls, answer) =>
      say.push(() => answer(calls.map(({ envelope }) => allowed(envelope)))),
    );
    const first = askMany(150);
    const second = askMany(150, () => ({ tenant: 'bolt' as typeof TENANT }));
    const third = askMany(10, () => ({ tenant: 'cork' as typeof TENANT }));
    expect(await third).toEqual(times(10, 'service.overloaded'));
    expect(asking.inFlight()).toBe(200);
    await expect.poll(() => say.length).toBe(14); // of at most 16 calls each
    say.forEach((one) => one());
    const expected = [...times(100, 'allow'), ...times(50, 'service.overloaded')];
    expect([await first, await second]).toEqual([expected, expected]);
  });
});

it('replicas get answers of their own although they share a user', async () => {
  const other = createAsk(await world.ingressBus());
  await standIn((calls, say) =>
    say(calls.map(({ envelope }) => allowed(envelope, { agent: envelope.tool }))),
  );
  const agents = await Promise.all([
    asking.ask(question({ tool: 'one' })),
    other.ask(question({ tool: 'two' })),
  ]);
  expect(agents.map((answer) => answer.kind === 'decided' && answer.agent)).toEqual(['one', 'two']);
  await other.close();
});

it('closing refuses what waits and what comes', async () => {
  const closing = createAsk(await world.ingressBus());
  await standIn(() => undefined);
  const waiting = closing.ask(question());
  await closing.close();
  const answers = [await waiting, await closing.ask(question())];
  expect(answers.map(outcome)).toEqual(times(2, 'service.bus_away'));
});

// The last one: the connections of the world need a moment to be back.
it('a broker that was killed refuses at once, also what waits; back, it serves within about a second', async () => {
  await standIn(() => undefined);
  const waiting = askFor({ deadlineMs: 10_000 });
  await new Promise((resolve) => setTimeout(resolve, 100));
  await world.nats.kill();
  expect(await waiting).toBe('service.bus_away');
  expect(await askFor()).toBe('service.bus_away');
  await world.nats.restart();
  // No worker answers in this test: to hear that is to be back.
  await expect
    .poll(() => askFor({ deadlineMs: 200 }), { interval: 20, timeout: 2_000 })
    .not.toBe('service.bus_away');
});
