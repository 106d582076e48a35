// The whole system as its users run it: real processes under the supervisor, filled with the demo tenant.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import pg from 'pg';
import { Pool } from 'undici';

import { seedDemo } from '#cli/demo/seed.ts';
import { startSystem } from '#cli/local/system.ts';
import type { RunningSystem, SystemOptions } from '#cli/local/system.ts';
import { type ChainFinding, showHash, verifyChain } from '#contracts/chain.ts';

export interface Answer {
  readonly status: number;
  readonly body: {
    readonly decision_id?: string;
    readonly verdict?: string;
    readonly policy_reason?: string;
    readonly reason?: { readonly code: string; readonly message: string; readonly help: string };
    readonly [member: string]: unknown;
  };
}

export interface Row {
  readonly tenant: string;
  readonly sequence: number;
  readonly kind: string;
  readonly decision_id: string;
  readonly verdict: string;
  readonly entry: string;
  readonly hash: string;
}

export interface Live {
  readonly system: RunningSystem;
  readonly call: (
    body: Record<string, unknown>,
    headers?: Record<string, string>,
  ) => Promise<Answer>;
  /** Any request at the ingress; the demo's credentials are not added. */
  readonly request: (
    method: string,
    path: string,
    options?: { headers?: Record<string, string>; body?: string },
  ) => Promise<Answer>;
  /** The admin API as the first operator (admin), below /v1/tenants/{tenant}/. */
  readonly admin: (
    method: string,
    path: string,
    body?: unknown,
    tenant?: string,
  ) => Promise<Answer>;
  readonly rows: (tenant?: string) => Promise<Row[]>;
  /** The database as its owner. */
  readonly sql: (text: string, values?: readonly unknown[]) => Promise<unknown>;
  /** The first bad place of the tenant's chain; undefined = intact. */
  readonly verify: (tenant?: string) => Promise<ChainFinding | undefined>;
  readonly close: () => Promise<void>;
}

export async function startLive(options: Partial<SystemOptions> = {}): Promise<Live> {
  const dir = await mkdtemp(join(tmpdir(), 'countersign-live-'));
  const system = await startSystem({ dir, ports: 'any', seed: seedDemo, ...options });
  const demo = system.seeded()?.demo;
  if (demo === undefined) throw new Error('the demo is not seeded');
  const read = async (file: string) => (await readFile(file, 'utf8')).trim();
  const identity = await read(demo.identity_token_file);
  const capability = await read(demo.capability_file);
  const operator = await read(demo.operator_token_files[0] ?? '');
  const ingress = new Pool(system.urls.ingress, { connections: 128 });
  const database = new pg.Pool({ connectionString: system.databaseAdminUrl, max: 2 });
  database.on('error', () => undefined); // Postgres is killed by tests

  const request: Live['request'] = async (method, path, { headers = {}, body } = {}) => {
    const answer = await ingress.request({
      method: method as 'GET',
      path,
      headers,
      ...(body === undefined ? {} : { body }),
    });
    const text = await answer.body.text();
    return {
      status: answer.statusCode,
      body: text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : { text },
    };
  };
  const rows: Live['rows'] = async (tenant = demo.tenant) => {
    const result = await database.query<Omit<Row, 'hash'> & { hash: Buffer }>(
      'select tenant, sequence, kind, decision_id, verdict, entry, hash from chain_rows where tenant = $1 order by sequence',
      [tenant],
    );
    return result.rows.map(({ hash, ...row }) => ({
      ...row,
      sequence: Number(row.sequence),
      hash: showHash(hash),
    }));
  };
  return {
    system,
    request,
    rows,
    sql: async (text, values = []) => database.query(text, [...values]),
    call: (body, headers = {}) =>
      request('POST', '/v1/decisions', {
        headers: {
          'content-type': 'application/json',
          authorization: `Bearer ${identity}`,
          'countersign-capability': capability,
          ...headers,
        },
        body: JSON.stringify(body),
      }),
    admin: async (method, path, body, tenant = demo.tenant) => {
      const response = await fetch(new URL(`/v1/tenants/${tenant}/${path}`, system.urls.admin), {
        method,
        headers: {
          authorization: `Bearer ${operator}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status: response.status, body: (await response.json()) as Answer['body'] };
    },
    verify: async (tenant = demo.tenant) => verifyChain(tenant, await rows(tenant)),
    close: async () => {
      await ingress.destroy();
      await database.end();
      await system.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
