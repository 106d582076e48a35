// The row `memory`: what each process holds idle and under load, and what one worker holds for many tenants that have
// a policy of their own each.

import type { TenantId } from '#contracts/ids.ts';
import { nameBundle } from '#policies/engine/bundle.ts';

import { endChildren, startGenerator } from './children.ts';
import { type Ours, startOurs } from './ours.ts';
import { memoryOf } from './processes.ts';
import type { Row } from './rows.ts';
import { figure } from './table.ts';
import { fillTenant, type Requests } from './tenant.ts';

const TENANTS = 500;
const WORKER_MB_MAX = 250;
const INGRESS_MB_MAX = 150;

export const memory: Row = async ({ log, quick, table }) => {
  const ours = await startOurs({ log });
  try {
    const generator = await startGenerator();
    const when: Record<string, ReturnType<typeof memoryOf>> = { idle: memoryOf(ours.pids()) };
    const sizes = quick ? { warmSeconds: 0, seconds: 3 } : { warmSeconds: 0, seconds: 20 };
    const load = async (requests: Requests, perSecond?: number) =>
      generator.run({
        url: ours.url,
        requests,
        mode:
          perSecond === undefined
            ? { kind: 'closed', connections: 64 }
            : { kind: 'open', perSecond },
        ...sizes,
      });
    log('1,000 calls a second');
    await load(ours.plain, 1_000);
    when['at 1,000/s'] = memoryOf(ours.pids());
    log('64 connections');
    await load(ours.plain);
    when['at 64 connections'] = memoryOf(ours.pids());
    const tenants = quick ? 50 : TENANTS;
    log(`${tenants} tenants`);
    const requests = await manyTenants(ours, tenants);
    await ours.system.restart('decision-worker');
    when[`${tenants} tenants, worker new`] = memoryOf(ours.pids());
    const { ends } = await load(requests, Math.ceil((3 * tenants) / sizes.seconds));
    when[`${tenants} tenants, all called`] = memoryOf(ours.pids());
    const names = Object.keys(ours.pids());
    const worker = when[`${tenants} tenants, all called`]?.['decision-worker']?.rss ?? NaN;
    const ingress = when['at 1,000/s']?.['ingress']?.rss ?? NaN;
    const met = (value: number, most: number) =>
      `${figure(value)} MB, aim <= ${most} MB: ${value <= most ? 'met' : 'not met'}`;
    table({
      title: 'Resident memory in MB',
      columns: ['', ...names],
      rows: Object.entries(when).map(([title, sizesThen]) => [
        title,
        ...names.map((name) => figure(sizesThen[name]?.rss ?? NaN)),
      ]),
      notes: [
        `Worker with ${tenants} tenants that have a policy each: ${met(worker, WORKER_MB_MAX)}.`,
        `Ingress at 1,000/s: ${met(ingress, INGRESS_MB_MAX)}.`,
        `Each tenant was called three times: ${JSON.stringify(ends)}.`,
      ],
    });
    return { memory: when };
  } finally {
    await endChildren();
    await ours.stop();
  }
};

/** Tenants whose policies differ in a setting: another digest, another module in the worker's memory. */
async function manyTenants({ writer, provider, policy }: Ours, count: number): Promise<Requests> {
  const requests: Requests[number][] = [];
  for (let index = 0; index < count; index += 1) {
    const { bundle } = policy;
    const own = nameBundle({ ...bundle, data: { ...bundle.data, tenant: index } });
    const tenant = `tenant-${index}` as TenantId;
    requests.push(...(await fillTenant(tenant, writer, { provider, policy: own, agents: 1 })));
  }
  return requests;
}
