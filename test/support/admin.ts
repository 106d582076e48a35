// Admin with its surroundings: a broker with the shipped permissions and streams from the table, four persons with
// different rights, and requests as one of them.

import { type ChildProcess, spawn } from 'node:child_process';
import { hash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { findBinary } from '#cli/local/binaries.ts';
import { CHECKOUT } from '#cli/local/places.ts';
import { anyFreePort } from '#cli/local/ports.ts';
import type { ControlEntry, Operator } from '#contracts/control.ts';
import { type MacKeys, macHeader } from '#contracts/mac.ts';
import { encodeRecords, type RecordLines } from '#contracts/record.ts';
import { HEADERS } from '#contracts/subjects.ts';
import { readConfig } from '#host/config.ts';
import { readMacKeys } from '#host/keys.ts';
import { type Bus, connectBus, newHeaders } from '#host/nats.ts';

import { AdminConfig } from '../../services/admin/config.ts';
import { start } from '../../services/admin/main.ts';
import { migrateStreams } from '../../services/migrate/streams.ts';
import { startNats, type TestNats } from './servers.ts';

/** ada may do everything, olga operates, vera looks, tom operates tenant acme only. */
export type Person = 'ada' | 'olga' | 'vera' | 'tom';
const PERSONS: readonly Omit<Operator, 'token_hash'>[] = [
  { id: 'ada', name: 'Ada', roles: ['admin'] },
  { id: 'olga', name: 'Olga', roles: ['operator'] },
  { id: 'vera', name: 'Vera', roles: ['viewer'] },
  { id: 'tom', name: 'Tom', roles: ['operator'], tenants: ['acme' as never] },
];

export interface Answer {
  readonly status: number;
  // Tests look into answers of every shape.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly body: any;
  readonly headers: Headers;
}

export interface RequestOptions {
  readonly as?: Person | 'nobody';
  /** Sent as it is; with `type` also when it is no text. */
  readonly raw?: string | Uint8Array;
  readonly type?: string;
  readonly reason?: string;
  readonly url?: string;
}

export interface AdminWorld {
  readonly nats: TestNats;
  /** A connection that may do anything at the broker. */
  readonly operator: Bus;
  readonly macKeys: MacKeys;
  readonly token: (person: Person) => string;
  readonly call: (
    method: string,
    path: string,
    body?: unknown,
    options?: RequestOptions,
  ) => Promise<Answer>;
  /** Address of the first admin in this process. */
  readonly url: () => string;
  readonly startAdmin: (
    env?: Readonly<Record<string, string>>,
  ) => Promise<{ readonly url: string; readonly stop: () => Promise<void> }>;
  /** Admin as a process of its own, ready. The caller MUST end it. */
  readonly spawnAdmin: () => Promise<{ readonly url: string; readonly child: ChildProcess }>;
  /** What stands under a key of bucket control. */
  readonly entry: (key: string) => Promise<ControlEntry | undefined>;
  /** Stores a message on CONTROL with the MAC of a writer; gives its sequence. */
  readonly store: (
    writer: string,
    subject: string,
    records: readonly RecordLines[] | string,
    mac?: string,
  ) => Promise<number>;
  readonly close: () => Promise<void>;
}

const READY_MS_MAX = 20_000;

export async function startAdminWorld(options: { admins?: number } = {}): Promise<AdminWorld> {
  const dir = await mkdtemp(join(tmpdir(), 'countersign-admin-'));
  const nats = await startNats({ shipped: true });
  const closing: (() => Promise<unknown>)[] = [];
  const file = async (name: string, text: string) => {
    const path = join(dir, name);
    await writeFile(path, text, { mode: 0o600 });
    return path;
  };
  const key = () => randomBytes(32).toString('base64');
  const tokens = new Map(PERSONS.map(({ id }) => [id, `cso_${randomBytes(24).toString('hex')}`]));
  const token = (person: Person) => tokens.get(person) ?? '';
  const operators = PERSONS.map((person) => ({
    ...person,
    token_hash: `sha256:${hash('sha256', token(person.id as Person), 'hex')}`,
  }));
  const macKeysFile = await file(
    'mac.json',
    JSON.stringify({ admin: key(), 'audit-chainer': key(), 'decision-worker': key() }),
  );
  const macKeys = readMacKeys(macKeysFile);
  const environment: Readonly<Record<string, string>> = {
    COUNTERSIGN_NATS_URL: nats.url,
    COUNTERSIGN_NATS_PASSWORD_FILE: nats.passwordFile('admin'),
    COUNTERSIGN_NATS_MONITOR_URL: nats.monitorUrl,
    COUNTERSIGN_LOG_LEVEL: process.env['TEST_LOG'] ?? 'silent',
    COUNTERSIGN_MAC_KEYS_FILE: macKeysFile,
    COUNTERSIGN_CAPABILITY_KEYS_FILE: await file('capability.json', JSON.stringify([key()])),
    COUNTERSIGN_AT_REST_KEYS_FILE: await file('at-rest.json', JSON.stringify([key()])),
    COUNTERSIGN_BOOTSTRAP_OPERATORS_FILE: await file('operators.json', JSON.stringify(operators)),
    COUNTERSIGN_ADMIN_PORT: '0',
    COUNTERSIGN_OPA: await findBinary('opa', console.error),
  };
  const connect = async (user: string) => {
    const bus = await connectBus({
      url: nats.url,
      user,
      passwordFile: nats.passwordFile(user),
      monitorUrl: nats.monitorUrl,
    });
    closing.push(bus.close);
    return bus;
  };
  await migrateStreams(await connect('migrate'), { replicas: 1, shrink: 64 });
  const operator = await connect('operator');
  const control = await operator.bucket('control');

  const startAdmin: AdminWorld['startAdmin'] = async (env = {}) => {
    const running = await start(readConfig(AdminConfig, { ...environment, ...env }));
    closing.push(running.stop);
    return { url: `http://127.0.0.1:${running.port}`, stop: running.stop };
  };
  const urls: string[] = [];
  for (let count = 0; count < (options.admins ?? 1); count += 1) {
    urls.push((await startAdmin()).url);
  }
  const call: AdminWorld['call'] = async (method, path, body, how = {}) => {
    const { as = 'ada', raw, reason, type = 'application/json', url = urls[0] } = how;
    const sent = raw ?? (body === undefined ? undefined : JSON.stringify(body));
    const response = await fetch(new URL(path, url), {
      method,
      headers: {
        ...(as === 'nobody' ? {} : { authorization: `Bearer ${token(as)}` }),
        ...(sent === undefined ? {} : { 'content-type': type }),
        ...(reason === undefined ? {} : { 'countersign-reason': reason }),
      },
      ...(sent === undefined ? {} : { body: sent as string }),
    });
    return { status: response.status, body: await response.json(), headers: response.headers };
  };
  return {
    nats,
    operator,
    macKeys,
    token,
    call,
    url: () => urls[0] ?? '',
    startAdmin,
    spawnAdmin: async () => {
      const port = await anyFreePort();
      const health = await anyFreePort(new Set([port]));
      const child = spawn(process.execPath, [join(CHECKOUT, 'services/admin/main.ts')], {
        env: {
          ...environment,
          COUNTERSIGN_ADMIN_PORT: String(port),
          COUNTERSIGN_HEALTH_PORT: String(health),
        },
        stdio: 'inherit',
      });
      await untilReady(`http://127.0.0.1:${health}/readyz`);
      return { url: `http://127.0.0.1:${port}`, child };
    },
    entry: async (name) => {
      const found = await control.get(name);
      return found?.operation === 'PUT' ? found.json<ControlEntry>() : undefined;
    },
    store: async (writer, subject, records, mac) => {
      const body = typeof records === 'string' ? records : encodeRecords(records);
      const headers = newHeaders();
      const [own] = macKeys.get(writer) ?? [];
      const header = mac ?? macHeader(writer, own ?? Buffer.alloc(32), { subject, body });
      if (header !== '') headers.set(HEADERS.mac, header);
      return (await operator.js.publish(subject, body, { headers })).seq;
    },
    close: async () => {
      for (const close of closing.reverse()) await close().catch(() => undefined);
      await nats.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function untilReady(url: string): Promise<void> {
  const deadline = performance.now() + READY_MS_MAX;
  for (;;) {
    const ready = await fetch(url).then(
      ({ ok }) => ok,
      () => false,
    );
    if (ready) return;
    if (performance.now() > deadline) throw new Error(`${url} is not ready`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
