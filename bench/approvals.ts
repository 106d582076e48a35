// The row `approvals`: from the held call to its message, from a person's click to the released call while its agent waits, and
// whether ten thousand calls that wait make decisions slower. Whole systems as `up` starts them, through the operators' API and
// the ingress.

import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { seedDemo } from '#cli/demo/seed.ts';
import { CHECKOUT } from '#cli/local/places.ts';
import { type RunningSystem, startSystem } from '#cli/local/system.ts';

import { putOrder, refund, type Sides, sidesOf, whole } from './approval-sides.ts';
import { compareWaiting, holdMany } from './approvals-waiting.ts';
import { endChildren } from './children.ts';
import { Histogram } from './histogram.ts';
import { progress, type Tell } from './progress.ts';
import type { Row } from './rows.ts';
import { figure } from './table.ts';

const CLICKS = 200;
const CLICKS_QUICK = 40;
const WAITING = 10_000;
const WAITING_QUICK = 500;
const AIM_P99_MS = 300;
const MESSAGES = 60;
const MESSAGES_QUICK = 10;
/** The stand-in takes 20 at once and then one a second, as Slack does. */
const MESSAGE_MS = 1_050;
const AIM_MESSAGE_P99_MS = 500;

export const approvals: Row = async ({ log, quick, rounds, table }) => {
  const none = await startOne('bench', log);
  const many = await startOne('bench-waiting', log);
  try {
    const [sideOfNone, sideOfMany] = await Promise.all([sidesOf(none), sidesOf(many)]);
    await Promise.all([putOrder(sideOfNone), putOrder(sideOfMany)]);
    const tell = progress(log);
    const messages = await holdToMessage(sideOfNone, none.urls.chat, {
      count: quick ? MESSAGES_QUICK : MESSAGES,
      tell,
    });
    const clicks = await clickToRelease(sideOfNone, { count: quick ? CLICKS_QUICK : CLICKS, tell });
    const rows = [
      ['held call to its message at the chat', ...percentiles(messages)],
      ['click to answer of the waiting agent', ...percentiles(clicks.told)],
      ['click to released call', ...percentiles(clicks.released)],
    ];
    table({
      title: `Approvals, milliseconds (${messages.total} calls, ${clicks.released.total} clicks)`,
      columns: ['', 'p50', 'p99', 'max'],
      rows,
      notes: [
        `aim: held call to its message p99 <= ${AIM_MESSAGE_P99_MS} ms, click to released call p99 <= ${AIM_P99_MS} ms`,
      ],
    });
    const waiting = quick ? WAITING_QUICK : WAITING;
    const held = await holdMany(sideOfMany, { count: waiting, tell });
    const compared = await compareWaiting(
      { none: { system: none, side: sideOfNone }, many: { system: many, side: sideOfMany } },
      { rounds, quick, log },
    );
    table(compared.table(waiting));
    await Promise.all([sideOfNone.close(), sideOfMany.close()]);
    return {
      messages: messages.total,
      clicks: clicks.released.total,
      waiting,
      held,
      rows,
      rounds: compared.rounds,
    };
  } finally {
    await endChildren();
    await Promise.all([none.stop(), many.stop()]);
  }
};

async function startOne(name: string, onProgress: (line: string) => void): Promise<RunningSystem> {
  const dir = join(CHECKOUT, '.countersign', name);
  await rm(dir, { recursive: true, force: true });
  return startSystem({ dir, ports: 'any', seed: seedDemo, onProgress });
}

const percentiles = (times: Histogram): string[] =>
  [times.quantile(0.5), times.quantile(0.99), times.quantile(1)].map(figure);

interface Series {
  readonly count: number;
  readonly tell: Tell;
}

/** Counted from the moment at which the agent's request leaves. */
async function holdToMessage(
  { ask }: Sides,
  chat: string,
  { count, tell }: Series,
): Promise<Histogram> {
  const times = new Histogram();
  for (let turn = 0; turn < count; turn++) {
    tell('calls held, until their message stands', turn, count);
    const at = performance.now();
    const { approval_id: id } = await ask('refund_order', refund());
    const { status } = await fetch(new URL(`/wait/${id}`, chat));
    const took = performance.now() - at;
    if (status !== 204) throw new Error(`${id}: nobody was asked`);
    times.record(took);
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, MESSAGE_MS - took)));
  }
  return times;
}

/** Counted from the moment at which the person's request leaves. */
async function clickToRelease(
  side: Sides,
  { count, tell }: Series,
): Promise<{ readonly told: Histogram; readonly released: Histogram }> {
  const told = new Histogram();
  const released = new Histogram();
  for (let click = 0; click < count; click++) {
    tell('calls approved while their agent waits', click, count);
    const args = refund();
    const held = await side.ask('refund_order', args);
    const { shown } = await whole(side, held.approval_id);
    const waiting = side.wait(held.approval_handle);
    const at = performance.now();
    const saying = side.admin('POST', `approvals/${held.approval_id}/approve`, { shown });
    await waiting;
    told.record(performance.now() - at);
    const { verdict } = await side.ask('refund_order', args);
    released.record(performance.now() - at);
    if (verdict !== 'allow') throw new Error(`released: ${verdict}`);
    await saying;
  }
  return { told, released };
}
