// The row `overload`: three times as many calls as the system can judge. How many are still judged in time, how fast
// the others are refused, and whether what was answered is in the chain.

import { endChildren, startGenerator } from './children.ts';
import { compareWithChain, idsFile } from './evidence.ts';
import { startOurs } from './ours.ts';
import type { Row } from './rows.ts';
import { median } from './speed-tables.ts';
import { figure } from './table.ts';

const FACTOR = 3;
const CONNECTIONS_MAX = 4_096;

export const overload: Row = async ({ log, rounds, quick, table }) => {
  const ours = await startOurs({ log });
  try {
    const generator = await startGenerator();
    const ids = await idsFile();
    const sizes = quick ? { warmSeconds: 1, seconds: 3 } : { warmSeconds: 2, seconds: 10 };
    const job = { url: ours.url, requests: ours.plain, idsFile: ids, ...sizes };
    const done = [];
    for (let round = 1; round <= rounds; round += 1) {
      log(`round ${round} of ${rounds}`);
      const peak = await generator.run({ ...job, mode: { kind: 'closed', connections: 64 } });
      const perSecond = Math.round(FACTOR * peak.achieved);
      const mode = { kind: 'open' as const, perSecond };
      const over = await generator.run({ ...job, mode, connectionsMax: CONNECTIONS_MAX });
      done.push({ peak, over, perSecond });
    }
    log('comparing what was answered with the chain');
    const evidence = await compareWithChain(ours, ids);
    const goodput = median(done.map(({ peak, over }) => over.achieved / peak.achieved));
    const refusalsP99 = median(done.map(({ over }) => over.refusals.p99));
    const met = (yes: boolean) => (yes ? 'met' : 'not met');
    table({
      title: `Overload, ${FACTOR} x saturation: medians of ${rounds} rounds`,
      columns: ['', 'measured', 'aim', ''],
      rows: [
        ['judged in time over the peak', figure(goodput), '>= 0.9', met(goodput >= 0.9)],
        ['p99 of refusals, ms', figure(refusalsP99), '<= 50', met(refusalsP99 <= 50)],
        [
          'p99 of judged calls, ms',
          figure(median(done.map(({ over }) => over.latency.p99))),
          '<= 1,000',
          '',
        ],
        [
          'answered decisions that the chain lacks',
          figure(evidence.missing),
          '0',
          met(evidence.missing === 0),
        ],
      ],
      notes: done.map(
        ({ peak, over, perSecond }, index) =>
          `Round ${index + 1}: peak ${figure(peak.achieved)}/s, offered ${figure(perSecond)}/s: ` +
          Object.entries(over.ends)
            .map(([end, count]) => `${figure(count)} x ${end === '0' ? 'no answer' : end}`)
            .join(', '),
      ),
    });
    return { rounds: done, evidence };
  } finally {
    await endChildren();
    await ours.stop();
  }
};
