// Decisions per second when every call draws on one and the same budget counter, beside the same calls without a
// ceiling, and at a ceiling that is reached.

import type { TenantId } from '#contracts/ids.ts';

import { endChildren, startGenerator } from './children.ts';
import type { Latency } from './histogram.ts';
import { type Ours, startOurs } from './ours.ts';
import { cpuOf } from './processes.ts';
import type { Row } from './rows.ts';
import { figure } from './table.ts';
import { fillTenant, type Requests } from './tenant.ts';

/** One case's figures. */
interface HotCounter {
  readonly perSecond: number;
  readonly latency: Latency;
  /** Stored increments and journal entries for each decision. */
  readonly messages: number;
  /** Of all our processes and the broker, in microseconds. */
  readonly cpu: number;
  readonly ends: Readonly<Record<string, number>>;
}

const FAR = 1_000_000_000;
const REACHED = 1;
const CONNECTIONS = 64;

/** The row alone: `npm run bench -- hot-counter`. */
export const hotCounter: Row = async ({ quick, rounds, log, table }) => {
  const ours = await startOurs({ log });
  try {
    const cases = await casesOf(ours);
    const figures: Record<string, HotCounter> = {};
    const generator = await startGenerator();
    const sizes = quick ? { seconds: 2, warmSeconds: 1 } : { seconds: 6, warmSeconds: 2 };
    for (let round = 1; round <= rounds; round += 1) {
      for (const [name, requests] of Object.entries(cases)) {
        log(`round ${round} of ${rounds}: ${name}`);
        const before = await stored(ours);
        let cpu = sum(cpuOf(ours.pids()));
        const result = await generator.run(
          { url: ours.url, mode: { kind: 'closed', connections: CONNECTIONS }, requests, ...sizes },
          (edge) => {
            if (edge === 'end') cpu = sum(cpuOf(ours.pids())) - cpu;
          },
        );
        const found: HotCounter = {
          perSecond: result.achieved,
          latency: result.latency,
          messages: ((await stored(ours)) - before) / result.sent,
          cpu: (cpu * 1_000) / result.sent,
          ends: result.ends,
        };
        if ((figures[name]?.perSecond ?? 0) < found.perSecond) figures[name] = found;
      }
    }
    table({
      title: `One hot counter, ${CONNECTIONS} connections: best of ${rounds} rounds`,
      columns: ['', 'decisions/s', 'p50 ms', 'p99 ms', 'messages/decision', 'CPU us'],
      rows: Object.entries(figures).map(([name, { perSecond, latency, messages, cpu }]) => [
        name,
        figure(perSecond),
        figure(latency.p50),
        figure(latency.p99),
        figure(messages),
        figure(cpu),
      ]),
    });
    return { hot_counter: figures };
  } finally {
    await endChildren();
    await ours.stop();
  }
};

async function casesOf({
  writer,
  provider,
  policy,
  plain,
}: Ours): Promise<Record<string, Requests>> {
  const under = (tenant: string, calls: number) =>
    fillTenant(tenant as TenantId, writer, {
      provider,
      policy,
      ceilings: [{ scope: 'tenant', window: 'month', calls }],
    });
  return {
    'without a ceiling': plain,
    'all on one counter': await under('hot', FAR),
    'all on one counter that is full': await under('full', REACHED),
  };
}

async function stored({ operator }: Ours): Promise<number> {
  const streams = await Promise.all(
    ['COUNT_MONTH', 'JOURNAL'].map((name) => operator.jsm.streams.info(name)),
  );
  return streams.reduce((all, { state }) => all + state.last_seq, 0);
}

const sum = (byProcess: Readonly<Record<string, number>>): number =>
  Object.values(byProcess).reduce((all, each) => all + each, 0);
