// The row `soak [minutes]`: a steady load, and whether any process grows under it.

import { setTimeout as sleep } from 'node:timers/promises';

import { endChildren, startGenerator } from './children.ts';
import { compareWithChain, idsFile } from './evidence.ts';
import { startOurs } from './ours.ts';
import { memoryOf } from './processes.ts';
import type { Row } from './rows.ts';
import { median } from './speed-tables.ts';
import { figure } from './table.ts';

const MINUTES = 10;
const PER_SECOND = 500;
const SAMPLE_MS = 5_000;
/** Last third over the middle third: the first one still fills caches and heaps. */
const GROWTH_MAX = 1.05;

export const soak: Row = async ({ log, args, quick, table }) => {
  const minutes = quick ? 1 : Number(args[0] ?? MINUTES);
  const ours = await startOurs({ log });
  try {
    const generator = await startGenerator();
    const ids = await idsFile();
    const samples: Record<string, number[]> = {};
    let running = true;
    const sampling = (async () => {
      for (; running; await sleep(SAMPLE_MS)) {
        for (const [name, { rss }] of Object.entries(memoryOf(ours.pids()))) {
          (samples[name] ??= []).push(rss);
        }
      }
    })();
    log(`${minutes} minutes at ${PER_SECOND}/s`);
    const result = await generator.run({
      url: ours.url,
      mode: { kind: 'open', perSecond: PER_SECOND },
      warmSeconds: 0,
      seconds: minutes * 60,
      requests: ours.plain,
      idsFile: ids,
    });
    running = false;
    await sampling;
    const evidence = await compareWithChain(ours, ids);
    const third = (values: readonly number[], which: number) =>
      median(
        values.slice(
          Math.floor((values.length * which) / 3),
          Math.ceil((values.length * (which + 1)) / 3),
        ),
      );
    table({
      title: `${minutes} minutes at ${PER_SECOND}/s: resident memory in MB, medians of each third`,
      columns: ['', 'first', 'middle', 'last', 'last / middle', ''],
      rows: Object.entries(samples).map(([name, values]) => {
        const growth = third(values, 2) / third(values, 1);
        return [
          name,
          ...[0, 1, 2].map((which) => figure(third(values, which))),
          figure(growth),
          growth <= GROWTH_MAX ? 'no growth' : 'grows',
        ];
      }),
      notes: [
        `p50 ${figure(result.latency.p50)} ms, p99 ${figure(result.latency.p99)} ms; answers: ${JSON.stringify(result.ends)}.`,
        `Answered decisions that the chain lacks: ${evidence.missing} of ${figure(evidence.answered)}.`,
      ],
    });
    return { samples, result, evidence };
  } finally {
    await endChildren();
    await ours.stop();
  }
};
