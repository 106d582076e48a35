// The row `authority`: how long after an operator's request a call is still judged by what was true before. The whole
// system as `up` starts it, four workers, under load, through the operators' API and the ingress.

import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { Pool } from 'undici';

import { seedDemo } from '#cli/demo/seed.ts';
import { CHECKOUT } from '#cli/local/places.ts';
import { type RunningSystem, startSystem } from '#cli/local/system.ts';

import { checkCosts } from './authority-checks.ts';
import { endChildren, startGenerator } from './children.ts';
import { hotCounter } from './hot-counter.ts';
import type { Row } from './rows.ts';
import { figure } from './table.ts';

const WORKERS = 4;
const LOAD_PER_SECOND = 200;
const TRIALS = 20;
const TRIALS_QUICK = 5;
/** Loops that ask the measured question, each again as soon as it is answered. */
const PROBES = 6;
/** A change holds once so many answers to questions that were asked after its answer say so. */
const SETTLED = 60;
const SETTLE_MS_MAX = 5_000;
const BOUND_MS = 1_000;
const AIM_P99_MS = 50;
const HOT_ROUNDS = 2;

/** One answer to the measured question. Times by performance.now(). */
interface Told {
  readonly asked: number;
  readonly answered: number;
  readonly allowed: boolean;
}

/** Milliseconds of one trial, from before the request to admin was sent. */
interface Trial {
  readonly lastAllow: number;
  readonly firstRefusal: number;
  /** When admin answered that the change is in force. */
  readonly inForce: number;
  /** Allows of questions that were asked after that answer. */
  readonly lateAllows: number;
}

interface Question {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: object;
}

interface Subject {
  readonly name: string;
  /** Makes the question allowed. */
  readonly before: () => Promise<Question>;
  /** Makes it refused. */
  readonly change: () => Promise<void>;
  readonly after: () => Promise<void>;
}

export const authority: Row = async (context) => ({
  ...(await latencies(context)),
  ...(await hotCounter({ ...context, rounds: Math.min(context.rounds, HOT_ROUNDS) })),
});

const latencies: Row = async ({ log, quick, table }) => {
  const dir = join(CHECKOUT, '.countersign', 'bench');
  await rm(dir, { recursive: true, force: true });
  const replicas = { 'decision-worker': WORKERS };
  const system = await startSystem({
    dir,
    ports: 'any',
    seed: seedDemo,
    replicas,
    onProgress: log,
  });
  try {
    const clients = await clientsOf(system);
    await clients.admin('PUT', 'budgets', { ceilings: [] });
    const trials = quick ? TRIALS_QUICK : TRIALS;
    const results: Record<string, readonly Trial[]> = {};
    const generator = await startGenerator();
    let loaded = true;
    const lookup = { tool: 'lookup_order', arguments: { order_id: 'ord_1001' } };
    const job = {
      url: `${system.urls.ingress}/v1/decisions`,
      mode: { kind: 'open' as const, perSecond: LOAD_PER_SECOND },
      requests: [{ headers: clients.demo, body: JSON.stringify(lookup) }],
      warmSeconds: 1,
      seconds: 5,
    };
    const loading = (async () => {
      const runs = [];
      while (loaded) runs.push(await generator.run(job));
      return runs;
    })();
    for (const subject of subjectsOf(clients)) {
      log(`${subject.name}: ${trials} trials`);
      const done: Trial[] = [];
      for (let trial = 0; trial < trials; trial += 1) done.push(await measure(clients, subject));
      results[subject.name] = done;
    }
    loaded = false;
    const load = await loading;
    await clients.close();
    show(table, results, trials);
    const checks = await checkCosts({ quick, table });
    return { workers: WORKERS, load_per_second: LOAD_PER_SECOND, trials: results, load, checks };
  } finally {
    await endChildren();
    await system.stop();
  }
};

interface Clients {
  /** Headers of the demo's agent. */
  readonly demo: Readonly<Record<string, string>>;
  readonly admin: (method: string, path: string, body: unknown, as?: 0 | 1) => Promise<unknown>;
  readonly ask: (question: Question) => Promise<boolean>;
  readonly close: () => Promise<void>;
}

async function clientsOf(system: RunningSystem): Promise<Clients> {
  const demo = system.seeded()?.demo;
  if (demo === undefined) throw new Error('the demo is not seeded');
  const read = async (file: string) => (await readFile(file, 'utf8')).trim();
  const operators = await Promise.all(demo.operator_token_files.map(read));
  const pool = new Pool(system.urls.ingress, { connections: PROBES });
  const headers = {
    'content-type': 'application/json',
    authorization: `Bearer ${await read(demo.identity_token_file)}`,
    'countersign-capability': await read(demo.capability_file),
  };
  return {
    demo: headers,
    admin: async (method, path, body, as = 0) => {
      const response = await fetch(`${system.urls.admin}/v1/tenants/${demo.tenant}/${path}`, {
        method,
        headers: {
          'content-type': 'application/json',
          authorization: `Bearer ${operators[as] ?? ''}`,
        },
        body: JSON.stringify(body),
      });
      const answer: unknown = await response.json();
      if (!response.ok) throw new Error(`${method} ${path}: ${JSON.stringify(answer)}`);
      return answer;
    },
    ask: async ({ headers: own, body }) => {
      const { statusCode, body: answer } = await pool.request({
        method: 'POST',
        path: '/v1/decisions',
        headers: { ...headers, ...own },
        body: JSON.stringify(body),
      });
      const text = await answer.text();
      if (statusCode !== 200) return false;
      return (JSON.parse(text) as { verdict: string }).verdict === 'allow';
    },
    close: () => pool.close(),
  };
}

const REASON = 'bench';

function subjectsOf({ admin, demo }: Clients): readonly Subject[] {
  const lookup = { tool: 'lookup_order', arguments: { order_id: 'ord_1001' } };
  const session = 'bench-session';
  const scope = { scope: 'session', id: session };
  let capability = '';
  const order = 'ord_bench';
  const fact = (total: number) =>
    admin('PUT', `facts/orders/${order}`, { id: order, customer: 'bench@example.com', total });
  return [
    {
      name: 'kill',
      before: async () => ({ headers: demo, body: { ...lookup, session_id: session } }),
      change: async () => void (await admin('POST', 'switches', { ...scope, reason: REASON })),
      after: async () => {
        await admin('POST', 'switches/release', scope);
        await admin('POST', 'switches/release', scope, 1);
      },
    },
    {
      name: 'revoke',
      before: async () => {
        const minted = await admin('POST', 'capabilities', { agent: 'shop-agent', tools: ['*'] });
        // Answers of minting have these (contracts/admin-bodies.ts).
        const { capability: token, id } = minted as { capability: string; id: string };
        capability = id;
        return { headers: { ...demo, 'countersign-capability': token }, body: lookup };
      },
      change: async () =>
        void (await admin('POST', 'revocations', {
          kind: 'capability',
          id: capability,
          reason: REASON,
        })),
      after: async () => undefined,
    },
    {
      name: 'fact',
      before: async () => {
        await fact(90);
        const body = { tool: 'refund_order', arguments: { order_id: order, amount: 10 } };
        return { headers: demo, body };
      },
      change: async () => void (await fact(5)),
      after: async () => undefined,
    },
  ];
}

async function measure({ ask }: Clients, subject: Subject): Promise<Trial> {
  const question = await subject.before();
  const told: Told[] = [];
  let probing = true;
  const probe = async () => {
    while (probing) {
      const asked = performance.now();
      const allowed = await ask(question);
      told.push({ asked, answered: performance.now(), allowed });
    }
  };
  const probes = Array.from({ length: PROBES }, probe);
  await until(() => told.slice(-SETTLED).filter(({ allowed }) => allowed).length === SETTLED);
  const start = performance.now();
  await subject.change();
  const inForce = performance.now();
  const later = () => told.filter(({ asked }) => asked > inForce);
  await until(() => later().filter(({ allowed }) => !allowed).length >= SETTLED);
  probing = false;
  await Promise.all(probes);
  await subject.after();
  const since = told.filter(({ answered }) => answered > start);
  const allows = since.filter(({ allowed }) => allowed);
  const refusals = since.filter(({ allowed }) => !allowed);
  return {
    lastAllow: Math.max(0, ...allows.map(({ answered }) => answered - start)),
    firstRefusal: Math.min(...refusals.map(({ answered }) => answered - start)),
    inForce: inForce - start,
    lateAllows: later().filter(({ allowed }) => allowed).length,
  };
}

async function until(holds: () => boolean): Promise<void> {
  const deadline = performance.now() + SETTLE_MS_MAX;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error('the measured question does not settle');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** The value at a share of the sorted ones. */
function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
}

/** Against aim and bound. */
function judged(p99: number, worst: number): string {
  if (worst > BOUND_MS) return 'bound broken';
  return p99 <= AIM_P99_MS ? 'aim met' : 'aim not met';
}

function show(
  table: Parameters<Row>[0]['table'],
  results: Readonly<Record<string, readonly Trial[]>>,
  trials: number,
): void {
  const of = (name: string, line: string, pick: (trial: Trial) => number) => {
    const values = (results[name] ?? []).map(pick);
    const [p50 = 0, p99 = 0, worst = 0] = [0.5, 0.99, 1].map((share) => quantile(values, share));
    return [line, figure(p50), figure(p99), figure(worst), judged(p99, worst)];
  };
  const late = Object.values(results).flat();
  table({
    title: `Authority: ${WORKERS} workers under load, ${trials} trials each, milliseconds from the operator's request`,
    columns: ['', 'p50', 'p99', 'worst', `aim ${AIM_P99_MS} p99, bound ${BOUND_MS}`],
    rows: [
      of('revoke', 'revoke to last allow', ({ lastAllow }) => lastAllow),
      of('kill', 'kill to last allow', ({ lastAllow }) => lastAllow),
      of('fact', 'fact change to last verdict by the old one', ({ lastAllow }) => lastAllow),
      of('fact', 'fact change to first verdict by the new one', ({ firstRefusal }) => firstRefusal),
      of('kill', "kill to admin's answer that it is in force", ({ inForce }) => inForce).with(
        4,
        '',
      ),
    ],
    notes: [
      `Times end when the answer was read, so they hold its way back too. ${PROBES} loops ask; ${LOAD_PER_SECOND} other calls a second run beside them.`,
      `Allows of calls that were sent after admin had answered: ${late.reduce((sum, { lateAllows }) => sum + lateAllows, 0)}.`,
    ],
  });
}
