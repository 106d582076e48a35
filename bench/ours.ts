// The system as the product starts it, without admin and demo shop, which no decision meets: nats-server with the
// shipped configuration, Postgres, one ingress, one decision worker, the audit chainer.

import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { CHECKOUT } from '#cli/local/places.ts';
import { PROCESSES } from '#cli/local/processes.ts';
import { type RunningSystem, startSystem } from '#cli/local/system.ts';
import type { TenantId } from '#contracts/ids.ts';
import { canonical } from '#contracts/json.ts';
import { parsePayload } from '#contracts/payload.ts';
import { decodeRecords } from '#contracts/record.ts';
import { type Bus, type BusOptions, connectBus } from '#host/nats.ts';
import type { NamedBundle } from '#policies/engine/bundle.ts';

import type { Pids } from './processes.ts';
import {
  activateFloor,
  type ControlWriter,
  controlWriter,
  fillTenant,
  type IdentityProvider,
  identityProvider,
  type Requests,
  shippedPolicy,
} from './tenant.ts';

export interface Ours {
  readonly system: RunningSystem;
  readonly url: string;
  readonly operator: Bus;
  readonly operatorOptions: BusOptions;
  readonly writer: ControlWriter;
  readonly provider: IdentityProvider;
  /** Calls without ceilings and ids of their own. */
  readonly plain: Requests;
  /** Calls under two ceilings, each with an id that its caller gave. */
  readonly limited: Requests;
  readonly tenants: readonly TenantId[];
  /** Both are asked for each call. */
  readonly floor: NamedBundle;
  readonly policy: NamedBundle;
  readonly pids: () => Pids;
  readonly stop: () => Promise<void>;
}

const TENANTS = ['plain' as TenantId, 'limited' as TenantId] as const;
const MEASURED = new Set(['audit-chainer', 'decision-worker', 'ingress']);
/** Never met. */
const CEILING = 1_000_000_000;

export interface OursOptions {
  readonly log: (line: string) => void;
  readonly env?: (service: string) => Readonly<Record<string, string>>;
}

/** Starts it on fresh data below `.countersign/bench` and fills two tenants. */
export async function startOurs({ log, env }: OursOptions): Promise<Ours> {
  const dir = join(CHECKOUT, '.countersign', 'bench');
  await rm(dir, { recursive: true, force: true });
  let filled: Omit<Ours, 'system' | 'pids' | 'stop' | 'url'> | undefined;
  const services = PROCESSES.services.filter(({ name }) => MEASURED.has(name));
  const system = await startSystem({
    dir,
    ports: 'any',
    onProgress: log,
    table: { steps: PROCESSES.steps, services },
    ...(env === undefined ? {} : { env }),
    seed: async (starting) => {
      filled = await fill(starting);
      return { demo: {} as never, hints: [] }; // nobody asks this system for its demo
    },
  });
  if (filled === undefined) throw new Error('the system was not filled');
  const { operator } = filled;
  return {
    system,
    ...filled,
    url: `${system.urls.ingress}/v1/decisions`,
    pids: () => system.pids(),
    stop: async () => {
      await operator.close();
      await system.stop();
    },
  };
}

async function fill(
  system: RunningSystem,
): Promise<Omit<Ours, 'system' | 'pids' | 'stop' | 'url'>> {
  const { secrets, urls } = system;
  const operatorOptions = {
    url: urls.nats,
    user: 'operator',
    passwordFile: secrets.natsPasswordFile('operator'),
    monitorUrl: urls.natsMonitor,
  };
  const operator = await connectBus(operatorOptions);
  const [masterKey = ''] = JSON.parse(readFileSync(secrets.capabilityKeysFile, 'utf8')) as string[];
  const writer = await controlWriter(operator, Buffer.from(masterKey, 'base64'));
  const provider = await identityProvider();
  const policy = await shippedPolicy('tenant');
  const plain = await fillTenant(TENANTS[0], writer, { provider, policy });
  const limited = await fillTenant(TENANTS[1], writer, {
    provider,
    policy,
    ceilings: [
      { scope: 'tenant', window: 'minute', calls: CEILING },
      { scope: 'agent', window: 'day', calls: CEILING },
    ],
    callIds: true,
  });
  const floor = await activateFloor(writer);
  return {
    operator,
    operatorOptions,
    writer,
    provider,
    plain,
    limited,
    tenants: TENANTS,
    floor,
    policy,
  };
}

/** The policy input of the last recorded decision, as canonical JSON. */
export async function lastInput({ operator }: Pick<Ours, 'operator'>): Promise<string> {
  const { state } = await operator.jsm.streams.info('DECISIONS');
  const message = await operator.jsm.streams.getMessage('DECISIONS', { seq: state.last_seq });
  const [record] = decodeRecords(message?.string() ?? '');
  const input = parsePayload(record?.payload ?? '')?.sections['input'];
  if (input === undefined) throw new Error('no decision is recorded');
  return canonical(input);
}
