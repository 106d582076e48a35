// The row `approvals`: from the held call to its message, from a person's click to the released call while its agent waits, and whether ten thousand calls
// that wait make decisions slower. The whole system as `up` starts it, through the operators' API and the ingress.

import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { Pool } from 'undici';

import { seedDemo } from '#cli/demo/seed.ts';
import { CHECKOUT } from '#cli/local/places.ts';
import { type RunningSystem, startSystem } from '#cli/local/system.ts';
import type { ApprovalPreview } from '#contracts/held.ts';

import { Histogram } from './histogram.ts';
import type { Row } from './rows.ts';
import { figure } from './table.ts';

const CLICKS = 300;
const CLICKS_QUICK = 40;
const PENDING = 10_000;
const PENDING_QUICK = 500;
const DECISIONS = 2_000;
const DECISIONS_QUICK = 300;
const HOLDS_AT_ONCE = 16;
const AIM_P99_MS = 300;
const MESSAGES = 60;
const MESSAGES_QUICK = 10;
/** The stand-in takes 20 at once and then one a second, as Slack does. */
const MESSAGE_MS = 1_050;
const AIM_MESSAGE_P99_MS = 500;
const ORDER = 'ord_bench';

export const approvals: Row = async ({ log, quick, table }) => {
  const dir = join(CHECKOUT, '.countersign', 'bench');
  await rm(dir, { recursive: true, force: true });
  const system = await startSystem({ dir, ports: 'any', seed: seedDemo, onProgress: log });
  try {
    const side = await sidesOf(system);
    await side.admin('PUT', `facts/orders/${ORDER}`, {
      id: ORDER,
      customer: 'bench@example.com',
      total: 1_000_000,
    });
    log('calls held, until their message stands');
    const messages = await holdToMessage(side, system.urls.chat, quick ? MESSAGES_QUICK : MESSAGES);
    const clicks = await clickToRelease(side, quick ? CLICKS_QUICK : CLICKS);
    const told = (name: string, times: Histogram) =>
      log(`${name}: ${percentiles(times).join(' / ')} ms (p50 / p99 / max)`);
    told('held call to its message', messages);
    told('click to released call', clicks.released);
    log('decisions without anything that waits');
    const count = quick ? DECISIONS_QUICK : DECISIONS;
    const before = await decisionTimes(side, count);
    const pending = quick ? PENDING_QUICK : PENDING;
    log(`${pending} calls that wait`);
    await holdMany(side, pending);
    log('decisions with all of them');
    const after = await decisionTimes(side, count);
    await side.close();
    const rows = [
      ['held call to its message at the chat', ...percentiles(messages)],
      ['click to answer of the waiting agent', ...percentiles(clicks.told)],
      ['click to released call', ...percentiles(clicks.released)],
      ['allow, nothing waits', ...percentiles(before.allow)],
      [`allow, ${pending} wait`, ...percentiles(after.allow)],
      ['repeat of a held call, nothing else waits', ...percentiles(before.repeat)],
      [`repeat of a held call, ${pending} wait`, ...percentiles(after.repeat)],
      [`list of what waits (50 of ${pending})`, ...percentiles(after.list)],
    ];
    table({
      title: 'Approvals, milliseconds',
      columns: ['', 'p50', 'p99', 'max'],
      rows,
      notes: [
        `aim: held call to its message p99 <= ${AIM_MESSAGE_P99_MS} ms, click to released call p99 <= ${AIM_P99_MS} ms`,
      ],
    });
    return { messages: messages.total, clicks: clicks.released.total, pending, rows };
  } finally {
    await system.stop();
  }
};

const percentiles = (times: Histogram): string[] =>
  [times.quantile(0.5), times.quantile(0.99), times.quantile(1)].map(figure);

interface Answer {
  readonly verdict: string;
  readonly approval_id: string;
  readonly approval_handle: string;
}

/** An agent, and an operator who is not the one that it acts for. */
interface Sides {
  readonly ask: (tool: string, args: object) => Promise<Answer>;
  readonly wait: (handle: string) => Promise<void>;
  readonly admin: (method: string, path: string, body?: object) => Promise<unknown>;
  readonly close: () => Promise<void>;
}

async function sidesOf(system: RunningSystem): Promise<Sides> {
  const demo = system.seeded()?.demo;
  if (demo === undefined) throw new Error('the demo is not seeded');
  const read = async (file: string) => (await readFile(file, 'utf8')).trim();
  const [operator = ''] = await Promise.all(demo.operator_token_files.map(read));
  const ingress = new Pool(system.urls.ingress, { connections: HOLDS_AT_ONCE });
  const agent = {
    'content-type': 'application/json',
    authorization: `Bearer ${await read(demo.identity_token_file)}`,
    'countersign-capability': await read(demo.capability_file),
  };
  return {
    ask: async (tool, args) => {
      const body = JSON.stringify({ tool, arguments: args });
      const { body: answer } = await ingress.request({
        method: 'POST',
        path: '/v1/decisions',
        headers: agent,
        body,
      });
      return (await answer.json()) as Answer;
    },
    wait: async (handle) => {
      const path = `/v1/approvals/${handle}?wait=30`;
      const { body } = await ingress.request({ method: 'GET', path, headers: agent });
      await body.text();
    },
    admin: async (method, path, body) => {
      const response = await fetch(`${system.urls.admin}/v1/tenants/${demo.tenant}/${path}`, {
        method,
        headers: { 'content-type': 'application/json', authorization: `Bearer ${operator}` },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const answer: unknown = await response.json();
      if (!response.ok) throw new Error(`${method} ${path}: ${JSON.stringify(answer)}`);
      return answer;
    },
    close: () => ingress.close(),
  };
}

let amount = 1_000;
const refund = () => ({ order_id: ORDER, amount: ++amount });

/** The preview of a held call once nothing of it is missing. */
async function whole({ admin }: Sides, id: string): Promise<ApprovalPreview> {
  for (let looks = 0; looks < 1_000; looks++) {
    // The answer has this shape (contracts/approval-api.ts).
    const preview = (await admin('GET', `approvals/${id}`).catch(() => undefined)) as
      | ApprovalPreview
      | undefined;
    if (preview !== undefined && preview.shown !== '') return preview;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`${id} cannot be shown`);
}

/** Counted from the moment at which the agent's request leaves. */
async function holdToMessage({ ask }: Sides, chat: string, count: number): Promise<Histogram> {
  const times = new Histogram();
  for (let turn = 0; turn < count; turn++) {
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
  clicks: number,
): Promise<{ readonly told: Histogram; readonly released: Histogram }> {
  const told = new Histogram();
  const released = new Histogram();
  for (let click = 0; click < clicks; click++) {
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

async function holdMany({ ask, admin }: Sides, count: number): Promise<void> {
  let left = count;
  const lane = async () => {
    while (left-- > 0) {
      const args = refund();
      while ((await ask('refund_order', args)).verdict !== 'escalate') continue;
    }
  };
  await Promise.all(Array.from({ length: HOLDS_AT_ONCE }, lane));
  const last = await ask('refund_order', refund());
  while ((await admin('GET', `approvals/${last.approval_id}`).catch(() => undefined)) === undefined)
    await new Promise((resolve) => setTimeout(resolve, 100));
}

async function decisionTimes(
  { ask, admin }: Sides,
  count: number,
): Promise<Readonly<Record<'allow' | 'repeat' | 'list', Histogram>>> {
  const held = refund();
  await ask('refund_order', held);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const timed = async (times: number, work: () => Promise<unknown>): Promise<Histogram> => {
    const histogram = new Histogram();
    for (let turn = 0; turn < times; turn++) {
      const at = performance.now();
      await work();
      histogram.record(performance.now() - at);
    }
    return histogram;
  };
  return {
    allow: await timed(count, () => ask('lookup_order', { order_id: 'ord_1001' })),
    repeat: await timed(count, () => ask('refund_order', held)),
    list: await timed(50, () => admin('GET', 'approvals')),
  };
}
